//! The key that clients must give to enter a session.

use std::fs;

use columba_signal::JoinKey;

use super::Failure;
use super::options::SignalOptions;

impl SignalOptions {
    /// The join key, from the option or from the file.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a key.
    pub(crate) fn read_join_key(&self) -> Result<Option<JoinKey>, Failure> {
        if let Some(key) = &self.join_key {
            return parse(key.expose()).map(Some);
        }
        let Some(path) = &self.join_key_file else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(|error| {
            let shown = path.display();
            Failure::new(format!(
                "The file of the join key {shown} cannot be read ({error}): check --join-key-file."
            ))
        })?;
        parse(text.trim()).map(Some)
    }
}

/// Reads a key; the complaint does not show it.
pub(super) fn parse(text: &str) -> Result<JoinKey, Failure> {
    text.parse().map_err(|error| Failure::new(format!("The join key does not fit: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn key_comes_from_the_option_or_from_a_file() {
        let read = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
            let config = Config::load(&arguments, &Default::default()).map_err(|error| error.to_string())?;
            let key = config.options.signal.read_join_key().map_err(|failure| failure.to_string())?;
            Ok::<_, String>(key.map(|key| key.as_str().to_owned()))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["--join-key", "sesame"]), Ok(Some("sesame".to_owned())));
        let path = std::env::temp_dir().join(format!("columba-join-key-{}", std::process::id()));
        let file = path.to_str().unwrap();
        std::fs::write(&path, " sesame\n").unwrap();
        assert_eq!(read(&["--join-key-file", file]), Ok(Some("sesame".to_owned())));
        assert!(read(&["--join-key-file", file, "--join-key", "x"]).unwrap_err().contains("twice"));
        std::fs::write(&path, "two words").unwrap();
        let complaint = read(&["--join-key-file", file]).unwrap_err();
        assert!(complaint.contains("1 to 128") && !complaint.contains("words"), "{complaint}");
        std::fs::remove_file(&path).unwrap();
        assert!(read(&["--join-key-file", file]).unwrap_err().contains("--join-key-file"));
        assert!(read(&["--join-key", "two words"]).unwrap_err().contains("1 to 128"));
    }
}
