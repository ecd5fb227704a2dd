//! The browser's locks (Web Locks), reduced to what [`super::turn`] needs of them.
//!
//! They are spoken to by name: `web-sys` has them among what is not stable.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Function, Object, Promise, Reflect};
use leptos::prelude::window;
use leptos::task::spawn_local;
use uuid::Uuid;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::browser::{self, Local};
use super::turn::{ByLock, Lease, Lock, TURN, Turn};

/// The turn of this tab among those of `account`: by a lock where the browser has them, or else by a lease.
pub fn turn(account: Uuid) -> Box<dyn Turn> {
    let name = format!("{TURN}{account}");
    match WebLock::of(&name) {
        Some(lock) => Box::new(ByLock::new(lock)),
        None => Box::new(Lease::new(Local, name, browser::new_id().to_string())),
    }
}

/// A lock of this site, in all tabs of the browser.
struct WebLock {
    /// `navigator.locks`, and its `request`.
    locks: JsValue,
    request: Function,
    name: String,
    hold: Rc<Hold>,
}

/// How this tab stands with it.
#[derive(Default)]
struct Hold {
    /// The number of the last request.
    last: Cell<u32>,
    /// Requests that have not been granted.
    asking: RefCell<Vec<u32>>,
    /// The request that was granted, and what ends it.
    held: RefCell<Option<(u32, Function)>>,
    wanted: Cell<bool>,
    /// The browser grants nobody anything here: each tab is by itself.
    denied: Cell<bool>,
}

impl WebLock {
    /// None where the page did not come over a secure connection, or the browser is older than locks.
    fn of(name: &str) -> Option<Self> {
        let locks = Reflect::get(&window().navigator(), &"locks".into()).ok()?;
        let request = Reflect::get(&locks, &"request".into()).ok()?.dyn_into().ok()?;
        Some(Self { locks, request, name: name.to_owned(), hold: Rc::default() })
    }
}

impl Lock for WebLock {
    fn is_held(&self) -> bool {
        self.hold.denied.get() || self.hold.held.borrow().is_some()
    }

    fn request(&mut self, steal: bool) {
        let hold = &self.hold;
        hold.wanted.set(true);
        if !steal && !hold.asking.borrow().is_empty() {
            return;
        }
        let number = hold.last.get() + 1;
        hold.last.set(number);
        hold.asking.borrow_mut().push(number);
        let granted = Rc::clone(hold);
        let granted = Closure::once_into_js(move |_lock: JsValue| Promise::new(&mut |end, _| granted.granted(number, end)));
        let options = Object::new();
        let _ = Reflect::set(&options, &"steal".into(), &steal.into());
        let Ok(over) = self.request.call3(&self.locks, &self.name.as_str().into(), &options, &granted) else {
            return hold.denied.set(true);
        };
        let hold = Rc::clone(hold);
        spawn_local(async move {
            // In good time, or by one that stole it, or because it was never granted.
            let _ = JsFuture::from(Promise::resolve(&over)).await;
            hold.over(number);
        });
    }

    fn release(&mut self) {
        self.hold.wanted.set(false);
        let held = self.hold.held.take();
        if let Some((_, end)) = held {
            let _ = end.call0(&JsValue::UNDEFINED);
        }
    }
}

impl Hold {
    /// It is this tab's, until `end` is called.
    fn granted(&self, number: u32, end: Function) {
        self.asking.borrow_mut().retain(|other| *other != number);
        if self.wanted.get() {
            self.held.replace(Some((number, end)));
            super::live().flush();
        } else {
            let _ = end.call0(&JsValue::UNDEFINED);
        }
    }

    /// It is not this tab's any more.
    fn over(&self, number: u32) {
        let before = self.asking.borrow().len();
        self.asking.borrow_mut().retain(|other| *other != number);
        if self.asking.borrow().len() < before {
            self.denied.set(true);
        } else if self.held.borrow().as_ref().is_some_and(|(held, _)| *held == number) {
            self.held.take();
        } else {
            return;
        }
        super::live().flush();
    }
}
