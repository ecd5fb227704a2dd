//! What Snug's fan-out is compared with: the usual chat of axum and `tokio::sync::broadcast`, with the same events, one
//! flush an event, and nothing else: no accounts, no rooms, no storage.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt};
use snug::protocol::{Command, Event, Micros, Person, Seq};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// The argument that makes the benchmark's program this server.
pub const COMMAND: &str = "peer";

/// Above what is ever in flight, so that nobody lags.
const CAPACITY: usize = 4096;

struct Room {
    seq: Mutex<i64>,
    events: broadcast::Sender<Utf8Bytes>,
}

/// Serves until it is killed.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let room = Arc::new(Room { seq: Mutex::new(0), events: broadcast::channel(CAPACITY).0 });
        let app = Router::new().route("/ws", get(upgrade)).with_state(room);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        eprintln!("listening on http://{}", listener.local_addr().expect("a bound socket has an address"));
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("a TCP option"));
        axum::serve(listener, app).await.expect("it serves for ever");
    });
}

async fn upgrade(upgrade: WebSocketUpgrade, State(room): State<Arc<Room>>) -> Response {
    upgrade.read_buffer_size(4096).write_buffer_size(16 * 1024).on_upgrade(|socket| talk(socket, room))
}

async fn talk(socket: WebSocket, room: Arc<Room>) {
    let (mut sink, mut stream) = socket.split();
    let mut events = room.events.subscribe();
    loop {
        tokio::select! {
            frame = stream.next() => match frame {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(Command::Send { room: slug, id, text }) => room.say(slug, id, text),
                    _ => drop(sink.send(Message::text(r#"{"type":"welcome"}"#)).await),
                },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            event = events.recv() => match event {
                Ok(event) => if sink.send(Message::Text(event)).await.is_err() { return },
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}

impl Room {
    fn say(&self, room: snug::protocol::Slug, id: uuid::Uuid, text: String) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let by = Person { user: "person0".into(), name: None };
        // Under the lock, so that the order of the numbers is the order of the events.
        let mut seq = self.seq.lock().expect("nothing panics while it holds this");
        *seq += 1;
        let message =
            snug::protocol::Message { room, seq: Seq(*seq), id, by, text, at: Micros(i64::try_from(at).unwrap_or_default()) };
        let event = serde_json::to_string(&Event::Message(message)).expect("an event is JSON");
        let _ = self.events.send(event.into());
    }
}
