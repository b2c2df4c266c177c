//! The place of what arrives: a folder of its own beside the target, and at the end the target.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use columba_files::{Entry, EntryKind, Hash, Offer, PIECE, Position, Tree, piece_hash};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use crate::transfer::end::Stop;
use crate::transfer::saved;

/// The bytes after which the position is kept on disk.
const SAVE_EACH: u64 = 4 * 1024 * 1024;

/// The entries after which it is.
const SAVE_ENTRIES: u64 = 64;

/// Room that stays free on the disk.
const SPARE: u64 = 16 * 1024 * 1024;

/// The state that outlives the program, until the transfer is complete.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The hash of the code by which the transfer began; it is void.
    #[serde(default)]
    pub(super) code: Option<String>,
    /// The page of the server.
    pub(super) page: String,
    /// The secret by which both sides know each other again.
    pub(super) secret: String,
    /// The end of what is there; its tree is made again from the file.
    #[serde(default)]
    position: Option<Position>,
    /// The file at that position.
    #[serde(default)]
    file: Option<Entry>,
    /// The bytes of all files before it.
    #[serde(default)]
    bytes: u64,
}

/// Files on a disk.
#[derive(Debug)]
pub(super) struct Target {
    out: PathBuf,
    staging: PathBuf,
    overwrite: bool,
    saved: Saved,
    /// The names below which everything was made, relative to the staging folder.
    parent: Option<PathBuf>,
    file: Option<Open>,
    /// Times and permissions of folders, set when everything is in them.
    folders: io::BufWriter<File>,
    /// The position that was asked for, and the bytes before it.
    asked: Option<(Position, u64)>,
    bytes_unsaved: u64,
    entries_unsaved: u64,
    is_resumed: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    entry: Entry,
    path: PathBuf,
}

/// A folder whose metadata is set at the end.
#[derive(Serialize, Deserialize)]
struct Folder {
    names: Vec<String>,
    #[serde(default)]
    escaped: bool,
    mode: Option<u32>,
    modified: Option<(i64, u32)>,
}

/// A name as this system has it: names are bytes, not always UTF-8.
fn own_name(name: &str, escaped: bool) -> OsString {
    if escaped { OsString::from_vec(columba_files::unescape(name)) } else { name.into() }
}

fn failed(path: &Path, error: &io::Error) -> Stop {
    Stop::disk(format!("{} cannot be written: {error}.", path.display()))
}

impl Saved {
    pub(super) const fn new(code: Option<String>, page: String, secret: String) -> Self {
        Self { code, page, secret, position: None, file: None, bytes: 0 }
    }

    /// The states of transfers into this folder that were interrupted.
    pub(super) fn all(out: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(out) else { return Vec::new() };
        let folders =
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".columba-"));
        folders.filter_map(|folder| saved::load(&folder.path().join("state.json"))).collect()
    }
}

impl Target {
    /// Opens the place for an offer, and checks that there is room and nothing in the way.
    pub(super) fn open(out: &Path, offer: &Offer, overwrite: bool, saved: Saved) -> Result<Self, Stop> {
        fs::create_dir_all(out).map_err(|error| failed(out, &error))?;
        for top in &offer.top {
            let names = columba_files::safe_names(&top.name, columba_files::System::own());
            if let Ok([name]) = names.as_deref() {
                refuse_existing(&out.join(name), overwrite)?;
            }
        }
        // The identifier has hexadecimal digits only.
        let staging = out.join(format!(".columba-{}", offer.transfer));
        let content = staging.join("files");
        saved::make_folder(&content).map_err(|error| failed(&content, &error))?;
        let former =
            saved::load::<Saved>(&staging.join("state.json")).filter(|former| former.secret == saved.secret);
        let is_resumed = former.is_some();
        let saved = former.unwrap_or(saved);
        let journal = staging.join("folders");
        let folders = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&journal)
            .map_err(|error| failed(&journal, &error))?;
        let target = Self {
            out: out.to_owned(),
            staging,
            overwrite,
            saved,
            parent: None,
            file: None,
            folders: io::BufWriter::new(folders),
            asked: None,
            bytes_unsaved: 0,
            entries_unsaved: 0,
            is_resumed,
        };
        target.check_room(offer)?;
        target.store()?;
        Ok(target)
    }

    fn check_room(&self, offer: &Offer) -> Result<(), Stop> {
        let Some(bytes) = offer.bytes else { return Ok(()) };
        let wanted = bytes.saturating_sub(self.saved.bytes);
        let Ok(disk) = rustix::fs::statvfs(&self.staging) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if wanted > 0 && wanted.saturating_add(SPARE) > free {
            self.clean();
            return Err(Stop::disk(format!(
                "There is no room: {} are needed and {} are free at {}; free some, or choose another folder with --out.",
                crate::transfer::show::size(wanted),
                crate::transfer::show::size(free),
                self.out.display()
            )));
        }
        Ok(())
    }

    /// The position to go on from.
    pub(super) fn position(&mut self) -> Option<Position> {
        self.asked = self.found();
        self.asked.as_ref().map(|(position, _)| position.clone())
    }

    /// The position up to which the disk has everything, and the bytes before it.
    fn found(&self) -> Option<(Position, u64)> {
        let mut position = self.saved.position.clone()?;
        let mut bytes = self.saved.bytes;
        if position.offset > 0 {
            // The bytes before it include those of the file.
            match self.saved.file.as_ref().and_then(|entry| self.tree(entry, position.offset)) {
                Some(tree) => position.stack = tree.stack().to_vec(),
                None => {
                    bytes -= position.offset.min(bytes);
                    (position.offset, position.stack) = (0, Vec::new());
                }
            }
        }
        Some((position, bytes))
    }

    /// The hash tree of what a file has before an offset, read from the disk.
    fn tree(&self, entry: &Entry, offset: u64) -> Option<Tree> {
        let names = columba_files::safe_names(&entry.path, columba_files::System::own()).ok()?;
        let file = File::open(self.content(&names, entry.escaped)).ok()?;
        let mut tree = Tree::default();
        let mut piece = vec![0; PIECE];
        for n in 0..offset / PIECE as u64 {
            let at = n * PIECE as u64;
            for (from, place, length) in parts(entry, at, PIECE) {
                file.read_exact_at(&mut piece[from..from + length], place).ok()?;
            }
            tree.push(&piece, piece_hash(at, &piece));
        }
        Some(tree)
    }

    fn content(&self, names: &[String], escaped: bool) -> PathBuf {
        let mut path = self.staging.join("files");
        path.extend(names.iter().map(|name| own_name(name, escaped)));
        path
    }

    /// The content begins anew, from this position on; what is behind it is void.
    pub(super) fn started(&mut self, entry: u64, offset: u64) -> Result<u64, Stop> {
        self.file = None;
        let (position, bytes) = self.asked.take().unzip();
        let bytes = match position {
            Some(position) if position.entry == entry && position.offset == offset => bytes.unwrap_or(0),
            Some(position) if position.entry == entry => {
                bytes.unwrap_or(0) - position.offset.min(bytes.unwrap_or(0))
            }
            _ => 0,
        };
        if (entry, offset) == (0, 0) {
            let content = self.staging.join("files");
            fs::remove_dir_all(&content).map_err(|error| failed(&content, &error))?;
            saved::make_folder(&content).map_err(|error| failed(&content, &error))?;
            let _ = self.folders.flush();
            let _ = self.folders.get_ref().set_len(0);
            (self.saved.position, self.saved.file, self.saved.bytes) = (None, None, 0);
            self.store()?;
            self.is_resumed = false;
        }
        Ok(bytes)
    }

    /// Begins a file, or makes a folder or link.
    pub(super) fn begin(&mut self, entry: Entry, names: &[String], offset: u64) -> Result<(), Stop> {
        if let [name] = names {
            refuse_existing(&self.out.join(own_name(name, entry.escaped)), self.overwrite)?;
        }
        let path = self.content(names, entry.escaped);
        self.make_parent(&path)?;
        if self.is_resumed && offset == 0 {
            // It may be there from before the interruption, when it was not yet kept as such.
            remove(&path, entry.kind == EntryKind::Folder);
        }
        let made = match entry.kind {
            EntryKind::Folder => match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.is_resumed => Ok(()),
                made => made,
            },
            EntryKind::Link => {
                let target = own_name(entry.target.as_deref().unwrap_or_default(), entry.escaped);
                std::os::unix::fs::symlink(target, &path)
            }
            EntryKind::File => {
                let mut options = OpenOptions::new();
                // Nothing of another user's is followed, nothing that is there is opened.
                options.read(true).write(true).mode(0o600).create_new(offset == 0);
                options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
                options
                    .open(&path)
                    .map(|file| self.file = Some(Open { file, entry: entry.clone(), path: path.clone() }))
            }
        };
        made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Stop::disk(format!("The name {:?} comes twice.", entry.path)),
            _ => failed(&path, &error),
        })?;
        if entry.kind == EntryKind::Folder {
            let (names, escaped) = (names.to_vec(), entry.escaped);
            let folder = Folder { names, escaped, mode: entry.mode, modified: entry.modified };
            let line = serde_json::to_string(&folder).unwrap_or_default();
            writeln!(self.folders, "{line}").map_err(|error| failed(&self.staging, &error))?;
        }
        self.entries_unsaved += 1;
        Ok(())
    }

    /// Makes the folder that the path is in, without following a link.
    fn make_parent(&mut self, path: &Path) -> Result<(), Stop> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.parent.as_deref() == Some(parent) {
            return Ok(());
        }
        let base = self.staging.join("files");
        let mut at = base.clone();
        for name in parent.strip_prefix(&base).into_iter().flat_map(Path::components) {
            at.push(name);
            match fs::symlink_metadata(&at) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Err(Stop::disk(format!("{} is in the way of a folder.", at.display()))),
                Err(_) => fs::create_dir(&at).map_err(|error| failed(&at, &error))?,
            }
        }
        self.parent = Some(parent.to_owned());
        Ok(())
    }

    /// Writes content at an offset of the content.
    pub(super) fn write(&mut self, offset: u64, content: &[u8]) -> Result<(), Stop> {
        let Some(open) = &self.file else { return Ok(()) };
        for (from, place, length) in parts(&open.entry, offset, content.len()) {
            open.file
                .write_all_at(&content[from..from + length], place)
                .map_err(|error| failed(&open.path, &error))?;
        }
        self.bytes_unsaved += content.len() as u64;
        Ok(())
    }

    /// Completes the file.
    pub(super) fn end(&mut self, _hash: &Hash) -> Result<(), Stop> {
        let Some(open) = self.file.take() else { return Ok(()) };
        let finish = || -> io::Result<()> {
            if let Some(size) = open.entry.size.or(open.entry.bytes) {
                open.file.set_len(size)?;
            }
            if let Some(mode) = open.entry.mode {
                open.file.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
            }
            set_modified(&open.file, open.entry.modified)
        };
        finish().map_err(|error| failed(&open.path, &error))
    }

    /// Keeps the position on disk from time to time.
    pub(super) fn keep(&mut self, position: impl FnOnce() -> (Position, u64), now: bool) -> Result<(), Stop> {
        if !now && self.bytes_unsaved < SAVE_EACH && self.entries_unsaved < SAVE_ENTRIES {
            return Ok(());
        }
        (self.bytes_unsaved, self.entries_unsaved) = (0, 0);
        let (position, bytes) = position();
        self.saved.file = self.file.as_ref().map(|open| open.entry.clone());
        self.saved.bytes = bytes;
        self.saved.position = Some(position);
        self.folders.flush().map_err(|error| failed(&self.staging, &error))?;
        self.store()
    }

    fn store(&self) -> Result<(), Stop> {
        let path = self.staging.join("state.json");
        saved::store(&path, &self.saved).map_err(|error| failed(&path, &error))
    }

    /// Puts everything in its place.
    pub(super) fn finish(&mut self) -> Result<Vec<PathBuf>, Stop> {
        self.finish_folders()?;
        let content = self.staging.join("files");
        let mut placed = Vec::new();
        let entries = fs::read_dir(&content).map_err(|error| failed(&content, &error))?;
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        for name in names {
            let to = self.out.join(&name);
            place(&content.join(&name), &to, self.overwrite)?;
            placed.push(to);
        }
        self.clean();
        Ok(placed)
    }

    fn finish_folders(&mut self) -> Result<(), Stop> {
        self.folders.flush().map_err(|error| failed(&self.staging, &error))?;
        let journal = self.staging.join("folders");
        let lines = BufReader::new(File::open(&journal).map_err(|error| failed(&journal, &error))?).lines();
        let folders: Vec<Folder> =
            lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()).collect();
        // The inner ones first: permissions may forbid to go in.
        for folder in folders.iter().rev() {
            let path = self.content(&folder.names, folder.escaped);
            if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                continue;
            }
            let set = || -> io::Result<()> {
                set_modified(&File::open(&path)?, folder.modified)?;
                match folder.mode {
                    // The owner has to be able to move it.
                    Some(mode) => {
                        fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o777 | 0o300))
                    }
                    None => Ok(()),
                }
            };
            set().map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }

    /// Removes what is not complete.
    pub(super) fn clean(&self) {
        let _ = fs::remove_dir_all(&self.staging);
    }
}

/// The parts of a piece: offset in the piece, offset in the file, length.
fn parts(entry: &Entry, offset: u64, length: usize) -> Vec<(usize, u64, usize)> {
    let Some(extents) = &entry.extents else { return vec![(0, offset, length)] };
    let (mut parts, mut before, mut done) = (Vec::new(), 0, 0);
    for &(place, extent) in extents {
        let begin = offset + done as u64;
        if begin < before + extent && done < length {
            let skip = begin - before;
            let part = usize::try_from(extent - skip).unwrap_or(usize::MAX).min(length - done);
            parts.push((done, place + skip, part));
            done += part;
        }
        before += extent;
    }
    parts
}

fn set_modified(file: &File, modified: Option<(i64, u32)>) -> io::Result<()> {
    let Some((seconds, nanoseconds)) = modified else { return Ok(()) };
    let within = Duration::from_nanos(u64::from(nanoseconds.min(999_999_999)));
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds >= 0 {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    };
    match time.and_then(|time| time.checked_add(within)) {
        Some(time) => file.set_modified(time),
        None => Ok(()),
    }
}

fn refuse_existing(path: &Path, overwrite: bool) -> Result<(), Stop> {
    if overwrite || fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let hint = "choose another folder with --out, or replace it with --overwrite";
    Err(Stop::disk(format!("{} is there already; {hint}.", path.display())))
}

fn remove(path: &Path, keep_folder: bool) {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            if !keep_folder {
                let _ = fs::remove_dir_all(path);
            }
        }
        Ok(_) => {
            let _ = fs::remove_file(path);
        }
        Err(_) => {}
    }
}

/// Moves a file or folder to its place; folders that are there are filled, files replaced, if that
/// is wanted.
fn place(from: &Path, to: &Path, overwrite: bool) -> Result<(), Stop> {
    let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if overwrite && is_folder(from) && is_folder(to) {
        let entries = fs::read_dir(from).map_err(|error| failed(from, &error))?;
        for entry in entries.flatten() {
            place(&entry.path(), &to.join(entry.file_name()), overwrite)?;
        }
        return Ok(());
    }
    if overwrite {
        if is_folder(to) {
            return Err(Stop::disk(format!(
                "{} is a folder, and a file is to take its place; remove it first.",
                to.display()
            )));
        }
        return fs::rename(from, to).map_err(|error| failed(to, &error));
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => refuse_existing(to, false),
        // A file system that cannot do it in one step.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            refuse_existing(to, false)?;
            fs::rename(from, to).map_err(|error| failed(to, &error))
        }
        Err(error) => Err(failed(to, &error.into())),
    }
}
