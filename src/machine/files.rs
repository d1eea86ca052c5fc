//! Small files of our own on the real machine: read with a bound, written whole or not at all.

use super::clock;
use super::failpoint::failpoint;
use super::simulated::Simulated;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The largest file of our own that we read.
const OWN_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The length of a note, and the longest.
const NOTE_LENGTH: usize = 100;

/// How much of a file is copied at once.
const COPY_CHUNK_BYTES: usize = 256 * 1024;

/// How many files are flushed at the same time.
const SYNCS_TOGETHER_MAX: usize = 32;

/// A disk that flushes a file in this time has nothing else to do.
const SYNC_QUICK_MAX: Duration = Duration::from_millis(1);

/// An error with the path it is about.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} `{}`: {source}", path.display())]
pub struct FileError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// One of this kind, for tests of who is blamed.
    #[cfg(test)]
    pub(crate) fn of(kind: io::ErrorKind) -> Self {
        at("read", Path::new("x"))(kind.into())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

fn at<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError { what, path: path.to_owned(), source }
}

/// The text of a file, or `None` when there is no such file.
///
/// # Errors
/// When it is too large, not UTF-8 or cannot be read.
pub fn read(path: &Path) -> Result<Option<String>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at("read", path)(error)),
    };
    read_bounded(file, OWN_FILE_BYTES_MAX).map(Some).map_err(at("read", path))
}

/// Everything from `input`, if it has no more than `bytes_max` bytes, without the byte order mark that
/// some editors put in front.
///
/// # Errors
/// When it has more, or is not UTF-8.
pub fn read_bounded(input: impl io::Read, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has more than {bytes_max} bytes"),
        ));
    }
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes).to_vec();
    String::from_utf8(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Creates a directory and those above it.
///
/// # Errors
/// When it cannot be made.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(at("create", path))
}

/// Creates a directory that was not there and that only this user may enter.
///
/// # Errors
/// When it is there already or cannot be made.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path).map_err(at("create", path))
}

/// Removes an empty directory.
///
/// # Errors
/// When it is not empty or cannot be removed.
pub fn remove_dir(path: &Path) -> Result<(), FileError> {
    fs::remove_dir(path).map_err(at("remove", path))
}

/// Removes a directory and everything in it; follows no link.
///
/// # Errors
/// When something of it cannot be removed.
pub fn remove_all(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // Folders that nobody may write, as the caches of some tools are.
            make_writable(path);
            fs::remove_dir_all(path).map_err(at("remove", path))
        }
        removed => removed.map_err(at("remove", path)),
    }
}

/// Lets this user write all folders at and below `top`, as far as they are this user's.
fn make_writable(top: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut open = vec![top.to_owned()];
    while let Some(folder) = open.pop() {
        // What cannot be changed is told by the removal that follows.
        drop(fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)));
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        open.extend(folders.map(|entry| entry.path()));
    }
}

/// Writes a file so that a reader sees the old text or the new, and a crash leaves one of them.
///
/// # Errors
/// When a step fails; the old text is there then.
pub fn write(path: &Path, text: &str) -> Result<(), FileError> {
    put(path, text.as_bytes(), &WriteMode::BESIDE)
}

/// Replaces the file at `path` by `bytes`, going through a file in `folder`, which must lie on the
/// same disk: what a killed process leaves behind lies there and not beside `path`.
///
/// # Errors
/// When a step fails; the old bytes are there then.
pub fn replace(path: &Path, bytes: &[u8], executable: bool, folder: &Path) -> Result<(), FileError> {
    let mode = if executable { MODE_EXECUTABLE } else { MODE };
    put(path, bytes, &WriteMode { folder: Some(folder), mode, flushed: true })
}

/// [`write()`] for what only this user may read, such as an address with a password in it.
///
/// # Errors
/// When a step fails; the old text is there then.
pub fn write_private(path: &Path, text: &str) -> Result<(), FileError> {
    put(path, text.as_bytes(), &WriteMode { mode: MODE_PRIVATE, ..WriteMode::BESIDE })
}

/// The rights of a new file, of one that may be run, and of one that is only ours; what the user
/// takes away from all files is taken away as well.
const MODE: u32 = 0o666;
const MODE_EXECUTABLE: u32 = 0o777;
const MODE_PRIVATE: u32 = 0o600;

/// How a file is put into its place.
struct WriteMode<'a> {
    /// Where the new file is written before it takes the place of the old; `None`: beside it.
    folder: Option<&'a Path>,
    /// Its rights.
    mode: u32,
    /// Whether it is on the disk before it takes the place.
    flushed: bool,
}

impl WriteMode<'_> {
    const BESIDE: Self = Self { folder: None, mode: MODE, flushed: true };
}

fn put(path: &Path, bytes: &[u8], manner: &WriteMode<'_>) -> Result<(), FileError> {
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    create_dir(parent)?;
    let temporary = manner.folder.unwrap_or(parent).join(format!(".muster.{}.tmp", super::random::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(manner.mode)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            if manner.flushed { file.sync_data() } else { Ok(()) }
        })
        .and_then(|()| {
            failpoint("file");
            fs::rename(&temporary, path)
        });
    written.map_err(|error| {
        // What is left of a failed write is only a stray file.
        drop(fs::remove_file(&temporary));
        at("write", path)(error)
    })
}

/// Removes a file if it is there.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The names of what lies in a folder, in order; none when there is no such folder.
#[must_use]
pub fn list(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// What lies in a folder, and is none itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A link.
    Link,
    /// A pipe, a socket and the like.
    Other,
}

/// Something found by [`walk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path below the folder, parts divided by `/`.
    pub below: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed last, in nanoseconds since the epoch.
    pub changed: i128,
}

/// What lies below a folder and is no folder, in order; links are not followed, not even where the folder is
/// one: then it is found itself, with nothing for a path, as is a file in its place. Folders called `skip` are
/// left out. What in a name is no text is shown as [`char::REPLACEMENT_CHARACTER`].
///
/// # Errors
/// When there is more than `entries_max` to look at.
pub fn walk(top: &Path, skip: &str, entries_max: usize) -> Result<Vec<FileEntry>, FileError> {
    use std::os::unix::fs::MetadataExt as _;
    let (mut open, mut found, mut looked) = (vec![String::new()], Vec::new(), 0_usize);
    let note = |below: String, about: &fs::Metadata| {
        let changed = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
        let kind = match about.file_type() {
            kind if kind.is_file() => EntryKind::File,
            kind if kind.is_symlink() => EntryKind::Link,
            _ => EntryKind::Other,
        };
        FileEntry { below, kind, size: about.len(), changed }
    };
    match top.symlink_metadata() {
        Ok(about) if about.is_dir() => {}
        Ok(about) => return Ok(vec![note(String::new(), &about)]),
        Err(_) => return Ok(found),
    }
    while let Some(below) = open.pop() {
        // A folder that cannot be read holds nothing for us.
        for entry in fs::read_dir(top.join(&below)).into_iter().flatten().flatten() {
            looked += 1;
            if looked > entries_max {
                let why = format!("it holds more than {entries_max} files and folders");
                return Err(at("look through", top)(io::Error::new(io::ErrorKind::FileTooLarge, why)));
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(about) = entry.path().symlink_metadata() else { continue };
            let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            if !about.is_dir() {
                found.push(note(path, &about));
            } else if name != skip {
                open.push(path);
            }
        }
    }
    found.sort_by(|one, other| one.below.cmp(&other.below));
    Ok(found)
}

/// Moves a file to another place, whatever disk that is on; folders on the way are made. Between two
/// disks that takes until `is_over` says that there is no time for it.
///
/// # Errors
/// When it cannot be moved: then it is where it was.
pub fn move_file(from: &Path, to: &Path, is_over: &dyn Fn() -> bool) -> Result<(), FileError> {
    create_dir(to.parent().unwrap_or_else(|| Path::new(".")))?;
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_file(from, to, is_over),
        moved => moved.map_err(at("move", from)),
    }
}

/// Copies a file, until `is_over` says that there is no time for it.
///
/// # Errors
/// When it cannot be read or written, or there was no time: then nothing is left at `to`.
pub fn copy_file(from: &Path, to: &Path, is_over: &dyn Fn() -> bool) -> Result<(), FileError> {
    create_dir(to.parent().unwrap_or_else(|| Path::new(".")))?;
    let copy = || {
        // Never through a link that somebody left there.
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(MODE).open(to)?;
        let mut from = File::open(from)?;
        let mut chunk = vec![0_u8; COPY_CHUNK_BYTES];
        loop {
            match from.read(&mut chunk)? {
                0 => return copy.sync_all(),
                _ if is_over() => return Err(io::ErrorKind::Interrupted.into()),
                length => copy.write_all(chunk.get(..length).unwrap_or_default())?,
            }
        }
    };
    let copied = copy();
    if copied.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
        // What is left of a failed copy is of no use.
        drop(fs::remove_file(to));
    }
    copied.map_err(at("copy", from))
}

/// Whether this process can read a file.
#[must_use]
pub fn is_readable(path: &Path) -> bool {
    File::open(path).is_ok()
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(at("read", path))
}

/// Moves a directory out of the way.
///
/// # Errors
/// When it cannot be renamed.
pub fn set_aside(path: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(path, to).map_err(at("set aside", path))
}

/// A file of our own as a value. One that is missing or cannot be understood is the default: what
/// we remember is never needed for correctness.
#[must_use]
pub fn recall<T: DeserializeOwned + Default>(path: &Path) -> T {
    let text = read(path).ok().flatten().unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Keeps a value for [`recall`].
///
/// # Errors
/// When it cannot be written.
pub fn remember(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let text = text_of(path, value)?;
    write_private(path, &text)
}

/// [`remember`] for what means nothing after the next boot, and need not be flushed to outlive it.
///
/// # Errors
/// When it cannot be written.
pub fn remember_until_boot(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let text = text_of(path, value)?;
    put(path, text.as_bytes(), &WriteMode { flushed: false, mode: MODE_PRIVATE, ..WriteMode::BESIDE })
}

/// Writes a file of a machine that does not exist.
pub(super) fn simulate(
    machine: &Arc<dyn Simulated>,
    path: &Path,
    bytes: Vec<u8>,
    flushed: bool,
) -> Result<(), FileError> {
    machine.write(path, bytes, flushed).map_err(at("write", path))
}

/// What a value is in the file at `path`.
pub(super) fn text_of(path: &Path, value: &impl Serialize) -> Result<String, FileError> {
    serde_json::to_string(value).map_err(|error| at("write", path)(error.into()))
}

/// Leaves a value at a path where nothing is, for this user alone, with as little to do as can be: it
/// is not flushed, and who dies in the middle may leave a part of it, which [`recall`] takes for
/// nothing.
///
/// # Errors
/// When something is there, or it cannot be written.
pub fn leave(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let text = text_of(path, value)?;
    let open = || OpenOptions::new().write(true).create_new(true).mode(MODE_PRIVATE).open(path);
    let opened = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_dir(path.parent().unwrap_or_else(|| Path::new(".")))?;
            open()
        }
        opened => opened,
    };
    opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(at("write", path))
}

/// Adds a line to a file of our own and moves it to `to`, in a folder that is made if need be.
///
/// # Errors
/// When a step fails; the file is where it was then.
pub fn add_line_and_move(path: &Path, value: &impl Serialize, to: &Path) -> Result<(), FileError> {
    let text = text_of(path, value)?;
    let added = OpenOptions::new().append(true).open(path);
    added.and_then(|mut file| write!(file, "\n{text}\n")).map_err(at("write", path))?;
    let moved = match fs::rename(path, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_dir(to.parent().unwrap_or_else(|| Path::new(".")))?;
            fs::rename(path, to)
        }
        moved => moved,
    };
    moved.map_err(at("move", path))
}

/// [`remember`] for a short note that may be wrong: written over the old one, which is quick and
/// frees nothing on the disk, but a reader at the same time may see some of each.
///
/// # Errors
/// When it cannot be written.
pub fn note(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    create_dir(path.parent().unwrap_or_else(|| Path::new(".")))?;
    let text = text_of(path, value)?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE_PRIVATE)
        .open(path)
        // As long each time, so that nothing of a longer one is left.
        .and_then(|mut file| file.write_all(format!("{text:<NOTE_LENGTH$}\n").as_bytes()))
        .map_err(at("write", path))
}

/// When a file was made, by this machine's clock in milliseconds since 1970; `None` where the file system
/// does not tell.
#[must_use]
pub fn born_millis(path: &Path) -> Option<i64> {
    let born = fs::metadata(path).ok()?.created().ok()?;
    i64::try_from(born.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// Makes several files survive a loss of power; one that is not there is left out.
///
/// One after the other while the disk is quick, because a thread costs more than such a flush. Once
/// it made us wait, the rest at the same time, so that a busy disk is waited for about twice.
///
/// # Errors
/// When the disk refuses one of them.
pub fn sync_all(paths: &[PathBuf]) -> Result<(), FileError> {
    let mut paths = paths.iter();
    for path in paths.by_ref() {
        let started = clock::since_boot();
        sync_if_there(path)?;
        if clock::since_boot().saturating_sub(started) >= SYNC_QUICK_MAX {
            break;
        }
    }
    let rest: Vec<&PathBuf> = paths.collect();
    rest.chunks(SYNCS_TOGETHER_MAX).try_for_each(sync_together)
}

fn sync_together(paths: &[&PathBuf]) -> Result<(), FileError> {
    thread::scope(|scope| {
        let start = |path| thread::Builder::new().spawn_scoped(scope, move || sync_if_there(path));
        let syncs: Vec<_> = paths.iter().map(|path| (path, start(path))).collect();
        // Each is awaited, whatever became of the others; without a thread it is done here.
        let done: Vec<_> = syncs
            .into_iter()
            .map(|(path, sync)| match sync {
                Ok(sync) => sync.join().expect("it does not panic"),
                Err(_) => sync_if_there(path),
            })
            .collect();
        done.into_iter().collect()
    })
}

fn sync_if_there(path: &Path) -> Result<(), FileError> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("sync", path)(error)),
        _ => Ok(()),
    }
}
