//! Acting without a server: the command opens the database itself.

use tokio_util::task::TaskTracker;

use super::{Answer, CommandError, Request, act};
use crate::server::chat::Chat;
use crate::server::config::Settings;
use crate::server::home::Home;
use crate::server::store::Store;

/// A chat that nobody is connected to.
pub(super) struct Direct {
    chat: Chat,
    store: Store,
    tasks: TaskTracker,
}

impl Direct {
    /// Opens the database. Where it is a SQLite one, the caller has its lock. A file that is missing is made only if `new` says
    /// so: whoever asks for a list in the wrong folder wants to hear that it is the wrong one.
    ///
    /// # Errors
    /// [`CommandError::NoDatabase`], [`CommandError::Store`].
    pub(super) async fn open(settings: &Settings, new: bool) -> Result<Self, CommandError> {
        if let Some(home) = Home::of(settings).filter(|home| !new && !home.database.exists()) {
            return Err(CommandError::NoDatabase(home.database.display().to_string()));
        }
        let url = settings.database_url.as_ref().map(crate::server::config::DatabaseUrl::as_str);
        let store = Store::open(url, &settings.data).await?;
        let tasks = TaskTracker::new();
        let chat = Chat::start_apart(store.clone(), settings.clone(), &tasks).await?;
        Ok(Self { chat, store, tasks })
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Answer, CommandError> {
        Ok(act(self.chat.as_operator(), request).await?)
    }

    /// Waits until everything is written.
    pub(super) async fn close(self) {
        let Self { chat, store, tasks } = self;
        chat.end().await;
        drop(chat);
        tasks.close();
        tasks.wait().await;
        store.close().await;
    }
}
