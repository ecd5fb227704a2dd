//! Starting and stopping a server: what is opened in which order, the loop that accepts connections, and a stop that loses nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use leptos::config::LeptosOptions;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::chat::{Chat, now};
use super::config::Settings;
use super::home::{Home, HomeError};
use super::live::Closing;
use super::live::socket::Sockets;
use super::operator;
use super::store::{Store, StoreError};
use super::stream::Stream;
use super::web::{self, Assets, Peer};
use crate::protocol::Micros;

/// Bytes that a connection holds of what it reads and writes, each, about: it waits for more room before it takes more of an answer.
const BUFFER: usize = 64 * 1024;

/// How often sessions whose time is over are deleted.
const SWEEP: Duration = Duration::from_secs(3600);

/// How long word for the other processes on a database is kept.
const NOTICE_AGE: i64 = 24 * 3600 * 1_000_000;

/// How often it is read: an ended login's connections are gone within a second, on every node.
const HEED: Duration = Duration::from_millis(500);

/// How often throttles forget who was quiet.
const TIDY: Duration = Duration::from_secs(60);

/// How often rooms that have been idle for too long are closed.
const CLOSE_IDLE: Duration = Duration::from_secs(60);

/// Why a server did not start; each is one line for the person who started it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {addr}: {source}")]
    Bind { addr: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What its doors call.
    pub chat: Chat,
    stopping: CancellationToken,
    done: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Stops it: no new connections, sockets are told to come back, requests under way are finished, everything is written.
    pub async fn stop(self) {
        self.stopping.cancel();
        if let Err(error) = self.done.await {
            tracing::error!(%error, "the server did not stop in order");
        }
    }
}

/// Starts a server. It listens when this returns.
///
/// # Errors
/// [`StartError`]: the port, the data folder or the database cannot be had.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    let bind = |source| StartError::Bind { addr: settings.addr, source };
    let listener = listen(settings.addr).map_err(bind)?;
    let addr = listener.local_addr().map_err(bind)?;
    let home = Home::of(&settings);
    let taken = home.as_ref().map(Home::take).transpose()?;
    let url = settings.database_url.as_ref().map(super::config::DatabaseUrl::as_str);
    let store = Store::open(url, &settings.data).await?;

    let background = TaskTracker::new();
    let connections = TaskTracker::new();
    let stopping = CancellationToken::new();
    let chat = Chat::start(store.clone(), settings.clone(), &background).await?;
    let assets = Assets::new();
    let reload = leptos_options(addr);
    let shared = web::Shared {
        sockets: Sockets { chat: chat.clone(), build: assets.build(), tasks: connections.clone() },
        sessions: store.sessions(),
        security: web::Security::new(&settings, reload.as_ref()),
        reload,
        settings: settings.clone(),
        stopping: stopping.clone(),
        chat: chat.clone(),
        assets,
    };
    background.spawn(sweep(store.clone(), stopping.clone()));
    background.spawn(close_idle(chat.clone(), stopping.clone()));
    background.spawn(tidy(chat.clone(), stopping.clone()));
    // What was left word of before this is in what every connection reads.
    if let Some(last) = store.last_notice().await? {
        background.spawn(heed(chat.clone(), last, stopping.clone()));
    }
    if let Some(home) = &home {
        match operator::socket::bind(&home.socket) {
            Ok(listener) => {
                background.spawn(operator::socket::serve(listener, chat.clone(), connections.clone(), stopping.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, socket = %home.socket.display(), "operators' commands cannot reach this server");
            }
        }
    }
    // Tells Leptos which async runtime it is in; the routes themselves are served by one handler.
    let _routes = leptos_axum::generate_route_list(crate::app::App);
    let router = web::router(shared);
    tracing::info!(%addr, "listening on http://{addr}");

    let done = tokio::spawn({
        let (chat, stopping) = (chat.clone(), stopping.clone());
        async move {
            accept(listener, router, &settings, &stopping, &connections).await;
            tracing::info!("stopping");
            chat.hub().stop(Closing::Stopping);
            connections.close();
            let patience = Duration::from_secs(settings.shutdown_timeout.into());
            if timeout(patience, connections.wait()).await.is_err() {
                tracing::warn!(left = connections.len(), "connections were cut off");
            }
            chat.end().await;
            store.close().await;
            // Before the lock: what another server makes there is that one's.
            if let Some(home) = home {
                let _not_there = std::fs::remove_file(home.socket);
            }
            drop(taken);
            tracing::info!("stopped");
        }
    });
    Ok(Running { addr, chat, stopping, done })
}

fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    // A restart takes the port although old connections linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    // A crowd that comes back at once waits in the queue of the kernel (which cuts it to its own bound).
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// What the build decided, as Leptos wants to hear it; only under `cargo leptos watch`.
fn leptos_options(addr: SocketAddr) -> Option<LeptosOptions> {
    std::env::var_os("LEPTOS_WATCH")?;
    let reload_port = std::env::var("LEPTOS_RELOAD_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3001);
    Some(LeptosOptions::builder().output_name("snug").site_pkg_dir("pkg").site_addr(addr).reload_port(reload_port).build())
}

async fn sweep(store: Store, stopping: CancellationToken) {
    loop {
        if let Err(error) = store.sessions().delete_expired().await {
            tracing::warn!(%error, "sessions whose time is over were not deleted");
        }
        if let Err(error) = store.forget_notices(Micros(now().0 - NOTICE_AGE)).await {
            tracing::warn!(%error, "old notices were not deleted");
        }
        tokio::select! {
            () = sleep(SWEEP) => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// Hears what other processes on the same database have left word of.
async fn heed(chat: Chat, mut last: i64, stopping: CancellationToken) {
    let mut away = false;
    loop {
        tokio::select! {
            () = sleep(HEED) => {}
            () = stopping.cancelled() => return,
        }
        match chat.heed(last).await {
            Ok(heard) => {
                if away {
                    tracing::info!("the database answers again");
                }
                (last, away) = (heard, false);
            }
            // Said once: it is asked again soon, and goes on where it was.
            Err(error) if !away => {
                tracing::warn!(%error, "what other processes have left word of cannot be read");
                away = true;
            }
            Err(_) => {}
        }
    }
}

async fn close_idle(chat: Chat, stopping: CancellationToken) {
    loop {
        match chat.close_idle(now()).await {
            Ok(0) => {}
            Ok(rooms) => tracing::info!(rooms, "closed {rooms} idle rooms"),
            Err(why) => tracing::warn!(%why, "idle rooms were not closed"),
        }
        tokio::select! {
            () = sleep(CLOSE_IDLE) => {}
            () = stopping.cancelled() => return,
        }
    }
}

async fn tidy(chat: Chat, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(TIDY) => chat.tidy(),
            () = stopping.cancelled() => return,
        }
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    settings: &Settings,
    stopping: &CancellationToken,
    connections: &TaskTracker,
) {
    let mut builder = http1::Builder::new();
    // The header timeout bounds a connection that is kept alive and idle, too.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(settings.header_timeout.into()))
        // The buffer alone is no limit: it grows past its bound where there is more to be read at once.
        .max_header_size(usize::try_from(settings.header_max).unwrap_or(BUFFER))
        .max_buf_size(BUFFER);
    let patience = Duration::from_secs(settings.write_timeout.into());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let stream = Stream::new(stream, patience);
                connections.spawn(connection(stream, peer, router.clone(), builder.clone(), stopping.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: some will be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: Stream, peer: SocketAddr, router: Router, builder: http1::Builder, stopping: CancellationToken) {
    let out = stream.outbound();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        // What becomes a socket is sent to by others than its task.
        if request.headers().contains_key(UPGRADE) {
            request.extensions_mut().insert(Arc::clone(&out));
        }
        let answer = router.clone().oneshot(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let outcome = tokio::select! {
        outcome = &mut serving => outcome,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}
