//! The files and folders that are sent: found, counted, and described, in an order that is the same
//! each time.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use columba_files::{
    Entry, MAX_ENTRIES, MAX_EXTENTS, MAX_NAME, MAX_TOP, Offer, TopName, VERSION, is_escaped,
};
use rustix::fs::SeekFrom;

use super::exclude::Excludes;
use crate::transfer::end::Stop;

/// A file, folder or link that is sent.
#[derive(Debug)]
pub(super) struct Item {
    /// Its path in the transfer.
    pub(super) path: String,
    /// Its path on this machine.
    pub(super) full: PathBuf,
    metadata: Metadata,
    target: Option<String>,
}

/// The items of several paths, folders before their content, names in order.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    excludes: &'a Excludes,
    /// Those that come next, the last first.
    stack: Vec<(String, PathBuf)>,
    /// Notes about what is not sent.
    pub(super) skipped: Vec<String>,
}

/// A name as text, in which bytes that are no UTF-8 are escaped.
fn text_of(name: &OsStr) -> String {
    columba_files::escape(name.as_bytes())
}

/// A path that cannot be read.
fn unreadable(path: &Path, error: &io::Error) -> Stop {
    Stop::refused(format!("{} cannot be read: {error}.", path.display()))
}

/// Returns an error if one of the paths is not there.
pub(super) fn check(paths: &[PathBuf]) -> Result<(), Stop> {
    for path in paths {
        fs::symlink_metadata(path).map_err(|error| unreadable(path, &error))?;
    }
    Ok(())
}

impl<'a> Walk<'a> {
    pub(super) fn new(paths: &[PathBuf], excludes: &'a Excludes) -> Result<Self, Stop> {
        let mut stack = Vec::new();
        let mut names = BTreeSet::new();
        for path in paths {
            let full = path.canonicalize().map_err(|error| unreadable(path, &error))?;
            // The name as it was given, even if it is a link to something else.
            let given = path.file_name().or_else(|| full.file_name());
            let name = given.map_or_else(|| "root".to_owned(), text_of);
            if !names.insert(name.clone()) {
                let hint = "rename one, or send the folder that both are in";
                return Err(Stop::refused(format!("Two of the paths have the same name, {name:?}; {hint}.")));
            }
            stack.push((name, full));
        }
        stack.reverse();
        Ok(Self { excludes, stack, skipped: Vec::new() })
    }

    /// The next item.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Stop> {
        while let Some((path, full)) = self.stack.pop() {
            if self.excludes.matches(&path) {
                continue;
            }
            let metadata = fs::symlink_metadata(&full).map_err(|error| unreadable(&full, &error))?;
            let kind = metadata.file_type();
            if kind.is_dir() {
                self.descend(&path, &full)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&full).map_err(|error| unreadable(&full, &error))?;
                let target = Some(text_of(target.as_os_str()));
                return Ok(Some(Item { path, full, metadata, target }));
            } else if !kind.is_file() {
                self.skipped.push(format!(
                    "{} is neither a file nor a folder nor a link; it is not sent.",
                    full.display()
                ));
                continue;
            }
            return Ok(Some(Item { path, full, metadata, target: None }));
        }
        Ok(None)
    }

    fn descend(&mut self, path: &str, full: &Path) -> Result<(), Stop> {
        let entries = fs::read_dir(full).map_err(|error| unreadable(full, &error))?;
        let names: Result<Vec<OsString>, io::Error> =
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
        let mut names = names.map_err(|error| unreadable(full, &error))?;
        names.sort_unstable_by(|one, other| other.cmp(one));
        for name in names {
            let shown = text_of(&name);
            if shown.len() > MAX_NAME {
                let fault = format!(
                    "The name of {} is not UTF-8 and too long; it is not sent, rename it.",
                    full.join(&name).display()
                );
                self.skipped.push(fault);
                continue;
            }
            self.stack.push((format!("{path}/{shown}"), full.join(&name)));
        }
        Ok(())
    }
}

impl Item {
    pub(super) fn is_file(&self) -> bool {
        self.metadata.is_file()
    }

    /// Its description, with the parts of a sparse file.
    pub(super) fn entry(&self) -> Result<Entry, Stop> {
        let mut entry = if let Some(target) = &self.target {
            Entry::link(self.path.clone(), target.clone())
        } else if self.metadata.is_dir() {
            Entry::folder(self.path.clone())
        } else {
            Entry::file(self.path.clone(), self.metadata.len())
        };
        entry.escaped = is_escaped(&self.path) || self.target.as_deref().is_some_and(is_escaped);
        if self.target.is_none() {
            entry.mode = Some(self.metadata.mode() & 0o777);
            let nanoseconds = u32::try_from(self.metadata.mtime_nsec()).unwrap_or(0);
            entry.modified = Some((self.metadata.mtime(), nanoseconds));
        }
        if self.is_file() && self.metadata.blocks() * 512 < self.metadata.len() {
            let extents =
                extents(&self.full, self.metadata.len()).map_err(|error| unreadable(&self.full, &error))?;
            if let Some(extents) = extents {
                entry.bytes = Some(extents.iter().map(|(_, length)| length).sum());
                entry.size = Some(self.metadata.len());
                entry.extents = Some(extents);
            }
        }
        Ok(entry)
    }
}

/// The parts of a file that are no holes; `None` if it has no holes.
fn extents(path: &Path, size: u64) -> io::Result<Option<Vec<(u64, u64)>>> {
    let file = File::open(path)?;
    let mut extents: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(&file, SeekFrom::Data(at)) {
            Ok(data) => data,
            // No data behind this place.
            Err(rustix::io::Errno::NXIO) => break,
            // A file system that does not say where holes are.
            Err(_) => return Ok(None),
        };
        let hole = rustix::fs::seek(&file, SeekFrom::Hole(data)).unwrap_or(size).min(size);
        if hole <= data {
            break;
        }
        extents.push((data, hole - data));
        if extents.len() > 2 * MAX_EXTENTS {
            fill_smallest_holes(&mut extents);
        }
        at = hole;
    }
    if extents.len() > MAX_EXTENTS {
        fill_smallest_holes(&mut extents);
    }
    Ok((extents != [(0, size)]).then_some(extents))
}

/// Halves the number of extents, or a little more.
fn fill_smallest_holes(extents: &mut Vec<(u64, u64)>) {
    let mut holes: Vec<u64> = extents.windows(2).map(|pair| pair[1].0 - (pair[0].0 + pair[0].1)).collect();
    let middle = holes.len() / 2 + 1;
    holes.sort_unstable();
    let limit = holes[middle.min(holes.len() - 1)];
    extents.dedup_by(|next, before| {
        let end = before.0 + before.1;
        let is_small = next.0 - end <= limit;
        if is_small {
            before.1 = next.0 + next.1 - before.0;
        }
        is_small
    });
}

/// Counts what is sent.
pub(super) fn offer(
    paths: &[PathBuf],
    excludes: &Excludes,
    transfer: &str,
    from: String,
) -> Result<(Offer, Vec<String>), Stop> {
    let mut walk = Walk::new(paths, excludes)?;
    let mut offer = Offer { version: VERSION, transfer: transfer.to_owned(), from, ..Offer::default() };
    let (mut entries, mut bytes) = (0, 0);
    while let Some(item) = walk.next()? {
        entries += 1;
        let entry = item.entry()?;
        let content = entry.bytes.unwrap_or(0);
        bytes += content;
        offer.files += u64::from(item.is_file());
        if entry.path.contains('/') {
            if let Some(top) =
                offer.top.last_mut().filter(|top| entry.path.starts_with(&format!("{}/", top.name)))
            {
                *top.bytes.get_or_insert(0) += content;
            }
        } else if offer.top.len() < MAX_TOP {
            let folder = item.metadata.is_dir();
            offer.top.push(TopName { name: entry.path, folder, bytes: Some(content) });
        } else {
            offer.more += 1;
        }
    }
    if entries > MAX_ENTRIES {
        return Err(Stop::refused(format!(
            "These are {entries} files and folders, more than {MAX_ENTRIES}; pack them, such as with tar, and send that."
        )));
    }
    if entries == 0 {
        return Err(Stop::refused("Nothing is left to be sent: --exclude leaves out everything."));
    }
    (offer.entries, offer.bytes) = (Some(entries), Some(bytes));
    Ok((offer, walk.skipped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_holes_are_filled() {
        let mut extents: Vec<(u64, u64)> =
            (0..1000).map(|n| (n * 100, if n % 2 == 0 { 90 } else { 10 })).collect();
        fill_smallest_holes(&mut extents);
        assert!(extents.len() <= 501, "{}", extents.len());
        assert!(extents.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0));
        assert_eq!(extents.last().map(|(at, length)| at + length), Some(99_910));
    }
}
