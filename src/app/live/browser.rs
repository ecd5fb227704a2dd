//! What the browser offers: time, chance, storage, requests.

use std::time::Duration;

use js_sys::{Date, Math, Object, Reflect};
use leptos::prelude::{document, set_timeout_with_handle, window};
use uuid::Uuid;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, AbortSignal, Headers, RequestInit, Response};

use super::outbox::Storage;
use super::{json, wire};
use crate::app::request::WallTime;
use crate::app::time;
use crate::protocol::{Micros, Refusal};

/// How long an answer may take, all of it: browsers wait for minutes on a line that has died without a word.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Milliseconds since 1970.
pub fn now() -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a clock after 1970 and before the year 280,000")]
    let now = Date::now() as u64;
    now
}

/// The same moment, as the protocol has it.
pub fn now_micros() -> Micros {
    Micros(i64::try_from(now() * 1_000).unwrap_or_default())
}

/// From 0 up to 1; not for secrets.
pub fn chance() -> f64 {
    Math::random()
}

/// Bytes that nobody else has.
pub fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    let given = window().crypto().and_then(|crypto| crypto.get_random_values_with_u8_array(&mut bytes));
    if given.is_err() {
        for byte in &mut bytes {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 up to 256")]
            let chance = (Math::random() * 256.0) as u8;
            *byte = chance;
        }
    }
    bytes
}

/// An id that nobody else has; later ones are larger.
pub fn new_id() -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(now(), &random()).into_uuid()
}

/// The wall of a page that was made in `zone`: UTC, or else the browser's own zone.
pub fn wall(zone: &str, at: Micros) -> WallTime {
    if zone == "UTC" {
        return time::utc(at);
    }
    #[expect(clippy::cast_precision_loss, reason = "whole milliseconds of this age are exact in a double")]
    let date = Date::new(&JsValue::from_f64((at.0 / 1_000) as f64));
    let small = |number: u32| u8::try_from(number).unwrap_or_default();
    WallTime {
        year: i32::try_from(date.get_full_year()).unwrap_or_default(),
        month: small(date.get_month() + 1),
        day: small(date.get_date()),
        weekday: small((date.get_day() + 6) % 7),
        hour: small(date.get_hours()),
        minute: small(date.get_minutes()),
    }
}

/// What the address of the page names in it: `#s7`, `#new`; none without it, or with what is no such name.
pub fn place_in_address() -> Option<String> {
    let hash = window().location().hash().ok()?;
    let name = hash.strip_prefix('#')?;
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(hash)
}

/// Whether one who turns to a room can go on by the keyboard: on a touch screen it would only be in the way.
pub fn has_keyboard() -> bool {
    !window().match_media("(pointer: coarse)").ok().flatten().is_some_and(|coarse| coarse.matches())
}

/// Tells the server this browser's zone, for the pages to come.
pub fn remember_zone() {
    let options = js_sys::Intl::DateTimeFormat::new(&js_sys::Array::new(), &Object::new()).resolved_options();
    let Some(zone) = Reflect::get(&options, &"timeZone".into()).ok().and_then(|zone| zone.as_string()) else { return };
    let document = document();
    let cookies = Reflect::get(&document, &"cookie".into()).ok().and_then(|cookies| cookies.as_string()).unwrap_or_default();
    let known = cookies.split(';').any(|cookie| cookie.trim().strip_prefix("tz=") == Some(zone.as_str()));
    if !known {
        let cookie = format!("tz={zone}; Path=/; Max-Age=31536000; SameSite=Lax");
        // Without it the next page has UTC again: a pity, no more.
        let _ = Reflect::set(&document, &"cookie".into(), &cookie.into());
    }
}

/// The build that this page is of: the folder of its files is named by it.
pub fn build() -> Option<String> {
    let sheet = document().query_selector("link[rel=stylesheet]").ok()??;
    // `/b/0123456789abcdef/pkg/snug.css`
    sheet.get_attribute("href")?.split('/').nth(2).map(str::to_owned)
}

/// When a form was posted last that leads to another page, in milliseconds since 1970 (see `start.js`).
pub fn posted_at() -> Option<u64> {
    document().document_element()?.get_attribute("data-posted")?.parse().ok()
}

/// The browser's local storage, shared by all tabs of this site. A browser that forbids it keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Local {
    fn storage() -> Option<web_sys::Storage> {
        window().local_storage().ok().flatten()
    }
}

impl Storage for Local {
    fn get(&self, key: &str) -> Option<String> {
        Self::storage()?.get_item(key).ok().flatten()
    }

    fn set(&mut self, key: &str, value: &str) -> bool {
        // It may be full.
        Self::storage().is_some_and(|storage| storage.set_item(key, value).is_ok())
    }

    fn remove(&mut self, key: &str) {
        if let Some(storage) = Self::storage() {
            let _ = storage.remove_item(key);
        }
    }

    fn keys(&self) -> Vec<String> {
        let Some(storage) = Self::storage() else { return Vec::new() };
        let length = storage.length().unwrap_or_default();
        (0..length).filter_map(|at| storage.key(at).ok().flatten()).collect()
    }
}

/// Calls a server function: `body` is form-encoded, and what comes back is JSON.
///
/// # Errors
/// The server's refusal, or [`Refusal::Unavailable`] when it was not reached in time or not understood.
pub async fn post(endpoint: &str, body: &str) -> Result<String, Refusal> {
    let limit = AbortController::new().map_err(|_| Refusal::Unavailable)?;
    let signal = limit.signal();
    let late = set_timeout_with_handle(move || limit.abort(), ANSWER_WITHIN);
    let answer = answer(endpoint, body, &signal).await;
    if let Ok(late) = late {
        late.clear();
    }
    answer
}

async fn answer(endpoint: &str, body: &str, signal: &AbortSignal) -> Result<String, Refusal> {
    let response = request(endpoint, body, signal).await.map_err(|_| Refusal::Unavailable)?;
    let text = match response.text() {
        Ok(text) => JsFuture::from(text).await.ok().and_then(|text| text.as_string()),
        Err(_) => None,
    };
    let text = text.ok_or(Refusal::Unavailable)?;
    if response.ok() { Ok(text) } else { Err(json::parse(&text).map_or(Refusal::Unavailable, |json| wire::refusal(&json))) }
}

async fn request(endpoint: &str, body: &str, signal: &AbortSignal) -> Result<Response, JsValue> {
    let headers = Headers::new()?;
    headers.set("accept", "application/json")?;
    headers.set("content-type", "application/x-www-form-urlencoded")?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(&headers);
    init.set_body(&body.into());
    init.set_signal(Some(signal));
    let response = JsFuture::from(window().fetch_with_str_and_init(&format!("/actions/{endpoint}"), &init)).await?;
    response.dyn_into()
}
