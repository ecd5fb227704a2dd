//! SQLite: one connection that writes, a few that read. A reading statement runs on the thread that asks, and so does a writing
//! one; what waits for the disk, a commit, runs on a thread that may wait.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection as _};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::{ACQUIRE, SQLITE, StoreError, migrated};

/// Statements that a connection keeps prepared: more than there are.
const PREPARED: usize = 200;

/// Reading connections that are kept. More are opened when more threads read at once.
const READERS: usize = 4;

/// Pages of 4 KiB that SQLite's log (the WAL) may grow to before a commit moves them into the database, and waits for that: 125 MiB. It is done
/// long before, at a moment when nobody waits ([`Sqlite::fold`]), unless there is no such moment. A page that changes with every
/// commit is moved once for many of them.
const CHECKPOINT: u32 = 32_000;

/// Commits after which it is worth it to fold the log when there is nothing else to do.
const FOLD_AFTER: u32 = 250;

/// Memory for pages, in KiB, of the connection that writes: the ends of a few hundred rooms, and where their messages' ids stand.
const WRITER_CACHE: u32 = 8 * 1024;

/// Bytes that a disk must have free to count as having room again (1 MiB, some hundred commits).
const ROOM: u64 = 1024 * 1024;

/// The database in a file.
#[derive(Clone, Debug)]
pub struct Sqlite(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    writer: Arc<tokio::sync::Mutex<Option<Connection>>>,
    /// Commits since the log was last folded.
    commits: AtomicU32,
    /// Those that nobody reads with now; none when it is closed.
    readers: Mutex<Option<Vec<Connection>>>,
    /// A commit found no room on the disk, and none that came after it found enough.
    full: AtomicBool,
}

fn open(file: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    // A connection is never used by two threads at once: it needs no lock of its own.
    let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    connection.busy_timeout(ACQUIRE)?;
    // What a statement can take back is kept in memory, not in a file.
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY")?;
    Ok(connection)
}

impl Sqlite {
    /// Opens the file, which is made when it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::OpenFile`], [`StoreError::Newer`], [`StoreError::Migration`].
    pub(super) async fn open(file: PathBuf) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true).busy_timeout(ACQUIRE);
        let options = options.journal_mode(SqliteJournalMode::Wal).foreign_keys(true);
        let mut connection = options.connect().await.map_err(StoreError::Open)?;
        migrated(SQLITE.run(&mut connection).await)?;
        connection.close().await?;
        let writer = open(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(StoreError::OpenFile)?;
        let pragmas = format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {CHECKPOINT}; \
             PRAGMA journal_size_limit = {}; PRAGMA cache_size = -{WRITER_CACHE}",
            // Not cut shorter than it grows: making a file longer is what waits most.
            u64::from(CHECKPOINT) * 4096
        );
        writer.execute_batch(&pragmas).map_err(StoreError::OpenFile)?;
        let writer = Arc::new(tokio::sync::Mutex::new(Some(writer)));
        let readers = Mutex::new(Some(Vec::new()));
        Ok(Self(Arc::new(Inner { file, writer, commits: AtomicU32::new(0), readers, full: AtomicBool::new(false) })))
    }

    fn readers(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        // A panic with the lock held leaves a list of connections.
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that reads, nobody else's until it is dropped.
    ///
    /// # Errors
    /// When a further one cannot be opened, or the database is closed.
    pub(super) fn reader(&self) -> Result<Reader, StoreError> {
        let kept = self.readers().as_mut().ok_or(StoreError::Busy)?.pop();
        let connection = match kept {
            Some(connection) => connection,
            None => open(&self.0.file, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        Ok(Reader { connection: Some(connection), of: self.clone() })
    }

    /// A transaction on the one connection that writes, which it holds until it ends.
    ///
    /// # Errors
    /// When others have held it for too long, or the database is closed.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        let held = timeout(ACQUIRE, Arc::clone(&self.0.writer).lock_owned()).await.map_err(|_| StoreError::Busy)?;
        let writer = held.as_ref().ok_or(StoreError::Busy)?;
        writer.prepare_cached("BEGIN IMMEDIATE")?.raw_execute()?;
        let before = writer.total_changes();
        Ok(Transaction { held, of: self.clone(), before })
    }

    /// Moves what the log has into the database, if that is worth it: for a moment at which nobody waits for a commit. Waits for the
    /// disk on this thread.
    ///
    /// # Errors
    /// When the database fails, or is closed; what was in the log stays there.
    pub(super) async fn fold(&self) -> Result<(), StoreError> {
        if self.0.commits.load(Ordering::Relaxed) < FOLD_AFTER {
            return Ok(());
        }
        let held = timeout(ACQUIRE, self.0.writer.lock()).await.map_err(|_| StoreError::Busy)?;
        let writer = held.as_ref().ok_or(StoreError::Busy)?;
        self.0.commits.store(0, Ordering::Relaxed);
        // Its row says how far it came, which readers of older moments bound.
        Ok(writer.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?)
    }

    /// Whether the disk is full, as far as commits have shown.
    pub(super) fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    /// A commit that wrote found room, or none.
    fn found_room(&self, found: bool) {
        if !found {
            self.0.full.store(true, Ordering::Relaxed);
        } else if self.is_full() && self.has_room() {
            self.0.full.store(false, Ordering::Relaxed);
            tracing::info!("the disk has room again: what is new is kept");
        }
    }

    /// Whether the disk has more room than what a failed commit leaves behind, in which smaller ones still succeed. A disk that
    /// does not say has.
    fn has_room(&self) -> bool {
        rustix::fs::statvfs(&self.0.file).map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM)
    }

    /// Closes every connection, the writing one last: it moves what is in the log into the database.
    pub(super) async fn close(&self) {
        *self.readers() = None;
        let writer = self.0.writer.lock().await.take();
        let _done = tokio::task::spawn_blocking(move || drop(writer)).await;
    }
}

/// A connection that reads.
#[derive(Debug)]
pub struct Reader {
    /// None only while it is dropped.
    connection: Option<Connection>,
    of: Sqlite,
}

impl Reader {
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is given back when this is dropped")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(readers) = self.of.readers().as_mut().filter(|readers| readers.len() < READERS) {
            readers.extend(self.connection.take());
        }
    }
}

/// A transaction that writes; rolled back unless it is committed.
#[derive(Debug)]
pub struct Transaction {
    /// Some: [`Sqlite::begin`] has looked.
    held: OwnedMutexGuard<Option<Connection>>,
    of: Sqlite,
    /// Rows that the connection had changed before.
    before: u64,
}

impl Transaction {
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.held.as_mut().expect("it was there when the transaction began")
    }

    /// Commits, and waits for the disk on a thread that may wait.
    ///
    /// # Errors
    /// When the database fails; nothing of the transaction is kept then.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        tokio::task::spawn_blocking(|| self.commit_here()).await.map_err(|_| StoreError::Busy)?
    }

    /// Commits, and waits for the disk on this thread.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub(super) fn commit_here(mut self) -> Result<(), StoreError> {
        let (of, before) = (self.of.clone(), self.before);
        let writer = self.connection();
        let committed = writer.prepare_cached("COMMIT").and_then(|mut commit| commit.raw_execute()).map_err(StoreError::from);
        match &committed {
            Ok(_) if writer.total_changes() != before => of.found_room(true),
            Err(error) if error.is_full() => of.found_room(false),
            _ => {}
        }
        of.0.commits.fetch_add(1, Ordering::Relaxed);
        committed.map(drop)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // Committed, or rolled back by the error itself.
        if self.connection().is_autocommit() {
            return;
        }
        if let Err(error) = self.connection().execute_batch("ROLLBACK") {
            tracing::error!(%error, "a transaction was not rolled back");
        }
    }
}
