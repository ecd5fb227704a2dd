//! The browser's WebSocket, reduced to what [`super::Live`] needs of it.

use leptos::prelude::location;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use web_sys::{CloseEvent, Event, MessageEvent, WebSocket};

use super::json;
use crate::protocol::{Command, LINES};

/// What a socket has to say.
#[derive(Debug)]
pub enum Heard {
    Opened,
    /// A frame: events, one a line.
    Frame(String),
    /// It is closed, with this code; also when it never opened.
    Closed(u16),
}

/// A socket. Dropping it closes it, as soon as it stands, and it says nothing more.
pub struct Socket {
    socket: WebSocket,
    _opened: Closure<dyn FnMut(Event)>,
    _frame: Closure<dyn FnMut(MessageEvent)>,
    _closed: Closure<dyn FnMut(CloseEvent)>,
}

impl Socket {
    /// Opens one to the server that this page is from.
    ///
    /// # Errors
    /// What the browser says: it forbids it.
    pub fn open(hear: impl Fn(Heard) + Clone + 'static) -> Result<Self, JsValue> {
        let location = location();
        let scheme = if location.protocol()? == "https:" { "wss" } else { "ws" };
        let socket = WebSocket::new_with_str(&format!("{scheme}://{}/ws", location.host()?), LINES)?;
        let opened = Closure::new({
            let hear = hear.clone();
            move |_: Event| hear(Heard::Opened)
        });
        let frame = Closure::new({
            let hear = hear.clone();
            move |event: MessageEvent| {
                if let Some(text) = event.data().as_string() {
                    hear(Heard::Frame(text));
                }
            }
        });
        let closed = Closure::new(move |event: CloseEvent| hear(Heard::Closed(event.code())));
        socket.set_onopen(Some(opened.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(frame.as_ref().unchecked_ref()));
        socket.set_onclose(Some(closed.as_ref().unchecked_ref()));
        Ok(Self { socket, _opened: opened, _frame: frame, _closed: closed })
    }

    /// Sends a command, as far as the socket still takes any.
    pub fn send(&self, command: &Command) {
        // A socket that closes just now says so itself.
        if self.socket.ready_state() == WebSocket::OPEN {
            let _ = self.socket.send_with_str(&json::command(command));
        }
    }

    /// Closes it, whether it stands or not: while one is on its way, browsers open no other to the same server (RFC 6455, section
    /// 4.1), for minutes if nobody answers.
    pub fn give_up(self) {
        let _ = self.socket.close();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        if self.socket.ready_state() == WebSocket::CONNECTING {
            // Closed before it opens, it would be complained of; who leaves a page needs no other.
            let socket = self.socket.clone();
            let close = Closure::once_into_js(move || socket.close());
            self.socket.set_onopen(Some(close.unchecked_ref()));
        } else {
            let _ = self.socket.close();
        }
    }
}
