//! `snug backup`, `snug restore` and `snug new-epoch`.
//!
//! A file that is being written has another name until it is whole and on the disk; so whoever finds one finds all of it.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::CommandError;
use crate::server::chat::now;
use crate::server::config::{DatabaseUrl, Settings};
use crate::server::home::{Home, HomeError};
use crate::server::store::file::{Contents, DatabaseFile, FileError, beside};
use crate::server::store::{Store, StoreError};

/// Why there is no backup, or nothing was restored; each is one line.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(
        "the database is PostgreSQL: use pg_dump and pg_restore, and after restoring, with no server running, `snug new-epoch`"
    )]
    Postgres,
    #[error("{} is there already: --force replaces it", path.display())]
    Exists { path: PathBuf },
    #[error("{} is a file of the database itself", path.display())]
    Itself { path: PathBuf },
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: Error },
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: Error },
    #[error("{} cannot be relied on: {source}", path.display())]
    File { path: PathBuf, source: FileError },
    #[error("{} could not be copied to {}: {source}", from.display(), to.display())]
    Copy { from: PathBuf, to: PathBuf, source: FileError },
    #[error("{} is in use by a snug server: stop it first", folder.display())]
    Running { folder: PathBuf },
    #[error("{servers} connections of snug servers are open to the database: stop them first")]
    Servers { servers: i64 },
}

/// A file that is not whole yet; removed when dropped before it is [`Part::keep`]t.
struct Part {
    path: PathBuf,
    kept: bool,
}

impl Part {
    /// An empty file for this user alone, beside the one that it will be, where it can be renamed to it.
    fn beside(whole: &Path) -> Result<Self, BackupError> {
        let path = whole.with_added_extension(format!("part-{}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => Ok(Self { path, kept: false }),
            Err(source) => Err(BackupError::Write { path: whole.to_owned(), source }),
        }
    }

    /// Puts what is in it on the disk and gives it its name.
    fn keep(mut self, whole: &Path, replace: bool) -> Result<(), BackupError> {
        let write = |source| BackupError::Write { path: whole.to_owned(), source };
        File::open(&self.path).and_then(|file| file.sync_all()).map_err(write)?;
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        match renameat_with(CWD, &self.path, CWD, whole, flags) {
            Err(rustix::io::Errno::EXIST) => return Err(BackupError::Exists { path: whole.to_owned() }),
            // A file system that cannot look and rename at once.
            Err(rustix::io::Errno::INVAL) if !whole.exists() => fs::rename(&self.path, whole).map_err(write)?,
            outcome => outcome.map_err(|errno| write(errno.into()))?,
        }
        self.kept = true;
        sync_folder(whole).map_err(write)
    }

    /// As SQLite wants it.
    fn name(&self) -> Result<&str, BackupError> {
        let unknown = || Error::new(ErrorKind::InvalidInput, "its name is not UTF-8");
        self.path.to_str().ok_or_else(|| BackupError::Write { path: self.path.clone(), source: unknown() })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            for ending in ["", "-journal"] {
                let _not_there = fs::remove_file(beside(&self.path, ending));
            }
        }
    }
}

/// A renaming is on the disk when its folder is.
fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The home of the SQLite database that these settings name.
fn home(settings: &Settings) -> Result<Home, CommandError> {
    if let Some(home) = Home::of(settings) {
        return Ok(home);
    }
    let url = settings.database_url.as_ref().map(DatabaseUrl::as_str).unwrap_or_default();
    if url.starts_with("postgres") { Err(BackupError::Postgres.into()) } else { Err(StoreError::Url.into()) }
}

/// Whether `file`, whatever it is called, is one that the database consists of.
fn is_part_of(home: &Home, file: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let Some(file) = identity(file) else { return false };
    ["", "-wal", "-shm"].iter().any(|ending| identity(&beside(&home.database, ending)) == Some(file))
}

async fn verified(path: &Path) -> Result<Contents, BackupError> {
    let verify = async {
        let mut file = DatabaseFile::read_still(path).await?;
        let contents = file.verify().await?;
        file.close().await?;
        Ok(contents)
    };
    verify.await.map_err(|source| BackupError::File { path: path.to_owned(), source })
}

/// Copies the database as it is now to `file`, while a server writes it or while none does, and verifies the copy; returns what
/// to print.
///
/// # Errors
/// [`CommandError::NoDatabase`], [`CommandError::Backup`]; `file` is as it was then.
pub async fn backup(settings: &Settings, file: &Path, force: bool) -> Result<String, CommandError> {
    let home = home(settings)?;
    if !home.database.exists() {
        return Err(CommandError::NoDatabase(home.database.display().to_string()));
    }
    if is_part_of(&home, file) {
        return Err(BackupError::Itself { path: file.to_owned() }.into());
    }
    // Looked at again when it gets its name; here, so that nobody waits in vain.
    if !force && file.exists() {
        return Err(BackupError::Exists { path: file.to_owned() }.into());
    }
    let part = Part::beside(file)?;
    let name = part.name()?;
    let copy = async {
        let mut database = DatabaseFile::read(&home.database).await?;
        database.copy(name).await?;
        database.close().await
    };
    copy.await.map_err(|source| BackupError::Copy { from: home.database.clone(), to: file.to_owned(), source })?;
    let contents = verified(&part.path).await?;
    part.keep(file, force)?;
    let size = fs::metadata(file).map_or(0, |file| file.len());
    Ok(format!("{} has everything of {} ({contents}; {size} bytes)\n", file.display(), home.database.display()))
}

/// Verifies `file` and makes it the database, with an `epoch` of its own, so that every client starts afresh; what was there is
/// kept aside. With `end_logins`, nobody is logged in. Returns what to print.
///
/// # Errors
/// [`CommandError::Backup`]; the database is as it was then.
pub async fn restore(settings: &Settings, file: &Path, end_logins: bool) -> Result<String, CommandError> {
    let home = home(settings)?;
    File::open(file).map_err(|source| BackupError::Read { path: file.to_owned(), source })?;
    if is_part_of(&home, file) {
        return Err(BackupError::Itself { path: file.to_owned() }.into());
    }
    let _taken = home.take().map_err(|error| match error {
        HomeError::InUse { path } => BackupError::Running { folder: path }.into(),
        error => CommandError::from(error),
    })?;
    let contents = verified(file).await?;
    let part = Part::beside(&home.database)?;
    let name = part.name()?;
    let copy = async {
        let mut from = DatabaseFile::read_still(file).await?;
        from.copy(name).await?;
        from.close().await?;
        let mut new = DatabaseFile::write(&part.path).await?;
        new.renew_epoch().await?;
        if end_logins {
            new.end_logins(now()).await?;
        }
        new.close().await
    };
    copy.await.map_err(|source| BackupError::Copy { from: file.to_owned(), to: home.database.clone(), source })?;
    verified(&part.path).await?;
    let aside = put_aside(&home.database).await.map_err(|source| BackupError::Write { path: home.database.clone(), source })?;
    part.keep(&home.database, true)?;
    let kept = aside.map(|aside| format!("; what was there is {}", aside.display())).unwrap_or_default();
    Ok(format!("{} has everything of {} ({contents}){kept}\n", home.database.display(), file.display()))
}

/// Gives the database that is there a second name, under which it stays when its first one is another's.
async fn put_aside(database: &Path) -> std::io::Result<Option<PathBuf>> {
    if !database.exists() {
        // A log without its database would be taken for the new one's.
        for ending in ["-wal", "-shm"] {
            let _not_there = fs::remove_file(beside(database, ending));
        }
        return Ok(None);
    }
    // Best is one file. One that is damaged may not let itself be folded: its log then goes with it.
    let fold = async {
        let mut file = DatabaseFile::write(database).await?;
        file.fold().await?;
        file.close().await
    };
    if let Err(error) = fold.await {
        tracing::warn!(%error, "what is there is kept as it is, log and all");
    }
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let free = |n: u32| {
        let again = if n == 1 { String::new() } else { format!("-{n}") };
        let aside = database.with_added_extension(format!("before-{stamp}{again}"));
        (!aside.exists()).then_some(aside)
    };
    let aside = (1..=1000).find_map(free).ok_or(ErrorKind::AlreadyExists)?;
    // By a second name, so that there is no moment without a database; where a file system has none, by another one.
    fs::hard_link(database, &aside).or_else(|_| fs::rename(database, &aside))?;
    if beside(database, "-wal").exists() {
        fs::rename(beside(database, "-wal"), beside(&aside, "-wal"))?;
    }
    let _not_there = fs::remove_file(beside(database, "-shm"));
    Ok(Some(aside))
}

/// Gives the database another `epoch`, after it was restored by other tools; no server may have it. Returns what to print.
///
/// # Errors
/// [`CommandError::Backup`] where a server has it, [`CommandError::NoDatabase`], [`CommandError::Store`].
pub async fn new_epoch(settings: &Settings) -> Result<String, CommandError> {
    let home = Home::of(settings);
    if let Some(home) = home.as_ref().filter(|home| !home.database.exists()) {
        return Err(CommandError::NoDatabase(home.database.display().to_string()));
    }
    let _taken = home.map(|home| home.take()).transpose().map_err(|error| match error {
        HomeError::InUse { path } => BackupError::Running { folder: path }.into(),
        error => CommandError::from(error),
    })?;
    let url = settings.database_url.as_ref().map(DatabaseUrl::as_str);
    let servers = Store::servers(url).await?;
    if servers > 0 {
        return Err(BackupError::Servers { servers }.into());
    }
    let store = Store::open(url, &settings.data).await?;
    store.found(now()).await?;
    let renewed = store.renew_epoch().await;
    store.close().await;
    renewed?;
    Ok("the database has a new epoch: every client starts afresh\n".to_owned())
}
