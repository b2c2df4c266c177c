//! The memory that the process may use: its cgroup's, or the machine's.

use std::fs;
use std::path::{Path, PathBuf};

/// The share of the memory that clients may make the server hold by default: one part in so many.
const SHARE: u64 = 4;

/// The most bytes that this is by default, however large the machine is.
const MOST: u64 = 512_000_000;

/// The bytes taken for the machine's memory where the system does not tell.
const UNKNOWN: u64 = 1_000_000_000;

/// The default of the budget in bytes.
pub(crate) fn default_limit() -> u64 {
    (available(Path::new("/")).unwrap_or(UNKNOWN) / SHARE).min(MOST)
}

/// The bytes of memory that the process may use, by the files under `root`.
fn available(root: &Path) -> Option<u64> {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| mem_total(&text));
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let files = groups.lines().filter_map(|line| limit_files(root, line)).flatten();
    let limits = files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    limits.chain(machine).min()
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The files with the limits of a group and of all groups above it, from a line of
/// `/proc/self/cgroup` (cgroups(7)). In a container the path may be the host's: the files at the
/// top are looked at too.
fn limit_files(root: &Path, line: &str) -> Option<Vec<PathBuf>> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (mount, name) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        v1 if v1.split(',').any(|controller| controller == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    Some(groups.map(|group| root.join(mount).join(group).join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of files that looks like a machine's, gone at the end.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("columba-machine-{}-{name}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        8000000 kB\nMemFree: 1 kB\n");

    #[test]
    fn least_of_machine_and_groups_counts() {
        let plain = Machine::new("plain", &[MEMINFO]);
        assert_eq!(available(&plain.0), Some(8_192_000_000));
        let second = [
            MEMINFO,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.max", "268435456\n"),
        ];
        assert_eq!(available(&Machine::new("v2", &second).0), Some(268_435_456));
        let first = [
            MEMINFO,
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/x\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
        ];
        assert_eq!(available(&Machine::new("v1", &first).0), Some(1_073_741_824), "in a container");
        assert_eq!(available(Path::new("/nowhere")), None);
    }

    #[test]
    fn default_is_a_share_with_a_ceiling() {
        assert!((1_000_000..=MOST).contains(&default_limit()));
    }
}
