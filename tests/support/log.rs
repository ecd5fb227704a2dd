//! The log of all servers of this process, as much as they can be made to say in earnest, and what must not be in it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing_subscriber::EnvFilter;

/// Everything but each statement and each byte: those are another program's to tell, and would be most of it.
const FILTER: &str = "debug,snug=trace,sqlx=info,hyper=info,hyper_util=info,reqwest=info,tungstenite=info,tokio_tungstenite=info";

/// The shortest text that is not in the log by chance (as "password" is).
const SHORTEST: usize = 9;

/// Of how many secrets of a test what is written is searched for, too: some tests write thousands of messages.
const ENOUGH: usize = 200;

static LOG: Mutex<String> = Mutex::new(String::new());

struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log is kept from the first call on; how long it is now.
pub fn listen() -> usize {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(FILTER)).with_ansi(false).with_writer(|| Kept).init();
    });
    LOG.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// What was said since the log was `from` long.
pub fn said(from: usize) -> String {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)[from..].to_owned()
}

/// What the people of a test know and no log may: passwords, sessions, tokens, tickets, and what they write. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<Mutex<BTreeSet<String>>>);

impl Secrets {
    pub fn keep(&self, secret: &str) {
        let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(lines.map(str::to_owned));
    }

    /// A text that someone writes.
    pub fn keep_text(&self, text: &str) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).len() < ENOUGH {
            self.keep(text);
        }
    }

    /// A token: its signature alone would do, too.
    pub fn keep_token(&self, token: &str) {
        token.rsplit('.').take(1).chain([token]).for_each(|part| self.keep(part));
    }

    /// What a form or a JSON body says that nobody else should know.
    pub fn keep_field(&self, name: &str, value: &str) {
        match name {
            "password" | "current" | "new" => self.keep(value),
            "text" => self.keep_text(value),
            _ => {}
        }
    }

    /// The same of each field of a JSON body, if it is one.
    pub fn keep_fields(&self, body: &str) {
        if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(body) {
            fields.iter().for_each(|(name, value)| self.keep_field(name, value.as_str().unwrap_or_default()));
        }
    }

    /// The first line of `log` that has one of them, and which.
    #[must_use]
    pub fn told_by(&self, log: &str) -> Option<(String, String)> {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = secrets.iter().find(|secret| memchr::memmem::find(log.as_bytes(), secret.as_bytes()).is_some())?;
        let line = log.lines().find(|line| line.contains(told.as_str())).unwrap_or_default();
        Some((told.clone(), line.to_owned()))
    }
}
