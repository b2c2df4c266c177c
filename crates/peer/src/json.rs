//! Descriptions and candidates in the JSON of browsers.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads a member in which `null` means the same as its absence.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a text, which some stacks write as a number; browsers take both.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        Written(String),
        Number(u64),
    }

    let text: Option<Text> = Option::deserialize(deserializer)?;
    Ok(text.map(|text| match text {
        Text::Written(text) => text,
        Text::Number(number) => number.to_string(),
    }))
}

/// Reads an index, which some stacks write as a text; an empty one counts as absent.
pub(crate) fn index<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Index {
        Number(u16),
        Written(String),
    }

    match Option::deserialize(deserializer)? {
        None => Ok(None),
        Some(Index::Number(number)) => Ok(Some(number)),
        Some(Index::Written(text)) if text.trim().is_empty() => Ok(None),
        Some(Index::Written(text)) => text.trim().parse().map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use crate::{IceCandidateInit, SdpType, SessionDescription};

    #[test]
    fn descriptions_of_browsers_are_read_and_written() {
        // JSON.stringify(pc.localDescription) of Chromium and of Firefox: the same members, in
        // either order.
        let chromium = r#"{"type":"offer","sdp":"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"}"#;
        let read: SessionDescription = serde_json::from_str(chromium).unwrap();
        assert_eq!(read, SessionDescription::offer("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"));
        assert_eq!(serde_json::to_string(&read).unwrap(), chromium);
        let firefox = r#"{"sdp":"v=0\r\n","type":"answer"}"#;
        let read: SessionDescription = serde_json::from_str(firefox).unwrap();
        assert_eq!(read, SessionDescription::answer("v=0\r\n"));
        for (word, kind) in [
            ("offer", SdpType::Offer),
            ("pranswer", SdpType::PrAnswer),
            ("answer", SdpType::Answer),
            ("rollback", SdpType::Rollback),
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), word);
            let text = format!(r#"{{"type":"{word}","toJSON":{{}},"more":[1]}}"#);
            let read: SessionDescription = serde_json::from_str(&text).unwrap();
            assert_eq!(read, SessionDescription { kind, sdp: String::new() });
        }
        let null: SessionDescription = serde_json::from_str(r#"{"type":"rollback","sdp":null}"#).unwrap();
        assert_eq!(null, SessionDescription::rollback());
        for wrong in [r#"{"sdp":"v=0\r\n"}"#, r#"{"type":"Offer"}"#, r#"{"type":null}"#, "null", "[]"] {
            assert!(serde_json::from_str::<SessionDescription>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn candidates_of_browsers_are_read_and_written() {
        let chromium = r#"{"candidate":"candidate:1 1 udp 2113937151 192.0.2.7 54400 typ host generation 0 ufrag jyv+ network-cost 999","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"jyv+"}"#;
        let read: IceCandidateInit = serde_json::from_str(chromium).unwrap();
        assert_eq!((read.sdp_mid.as_deref(), read.sdp_m_line_index), (Some("0"), Some(0)));
        assert_eq!(read.username_fragment.as_deref(), Some("jyv+"));
        assert_eq!(serde_json::to_string(&read).unwrap(), chromium);
        // Firefox announces the end of a generation's candidates so.
        let end = r#"{"candidate":"","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"26731dfc"}"#;
        let read: IceCandidateInit = serde_json::from_str(end).unwrap();
        assert_eq!(read.candidate, "");
        assert_eq!(serde_json::to_string(&read).unwrap(), end);
    }

    #[test]
    fn absent_null_and_empty_members_are_told_apart() {
        let read = |text: &str| serde_json::from_str::<IceCandidateInit>(text).unwrap();
        let absent = IceCandidateInit::default();
        assert_eq!(read("{}"), absent);
        let nulls = r#"{"candidate":null,"sdpMid":null,"sdpMLineIndex":null,"usernameFragment":null}"#;
        assert_eq!(read(nulls), absent);
        let empty = r#"{"candidate":"","sdpMid":"","usernameFragment":"","foundation":"1","address":null}"#;
        let expected = IceCandidateInit {
            sdp_mid: Some(String::new()),
            username_fragment: Some(String::new()),
            ..absent.clone()
        };
        assert_eq!(read(empty), expected);
        // All four members are written, as toJSON of browsers does.
        let written = r#"{"candidate":"","sdpMid":null,"sdpMLineIndex":null,"usernameFragment":null}"#;
        assert_eq!(serde_json::to_string(&absent).unwrap(), written);
        assert_eq!(serde_json::from_str::<Option<IceCandidateInit>>("null").unwrap(), None);
        for wrong in [r#"{"candidate":1}"#, r#"{"sdpMLineIndex":65536}"#, r#"{"sdpMLineIndex":-1}"#] {
            assert!(serde_json::from_str::<IceCandidateInit>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn texts_and_numbers_stand_for_each_other() {
        for (text, mid, index) in [
            (r#"{"sdpMid":0,"sdpMLineIndex":0}"#, Some("0"), Some(0)),
            (r#"{"sdpMid":"audio","sdpMLineIndex":"1"}"#, Some("audio"), Some(1)),
            (r#"{"sdpMid":"","sdpMLineIndex":" 65535 "}"#, Some(""), Some(65_535)),
            (r#"{"sdpMid":null,"sdpMLineIndex":""}"#, None, None),
            (r#"{"sdpMLineIndex":" "}"#, None, None),
            (r#"{"usernameFragment":1234,"sdpMLineIndex":null}"#, None, None),
        ] {
            let read: IceCandidateInit = serde_json::from_str(text).unwrap();
            assert_eq!((read.sdp_mid.as_deref(), read.sdp_m_line_index), (mid, index), "{text}");
        }
        for wrong in ["\"-1\"", "\"65536\"", "\"one\"", "true", "[0]", "{}"] {
            let text = format!(r#"{{"sdpMLineIndex":{wrong}}}"#);
            assert!(serde_json::from_str::<IceCandidateInit>(&text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<IceCandidateInit>(r#"{"sdpMid":[]}"#).is_err());
    }
}
