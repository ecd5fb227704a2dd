//! What a page knows of a form that was posted to it and refused.
//!
//! A form works without scripts: it posts to a server function under `/actions/`, with its page's own path in a hidden field
//! named [`PAGE`]. When the server function accepts it, the answer is 303 to wherever that leads. When it refuses, the server
//! renders that page again in answer to the post, with the refusal's status and a [`Refused`] in the context, so that
//! nothing typed is lost (but passwords) and the error stands beside its field.

use std::collections::BTreeMap;

use leptos::prelude::*;

use crate::protocol::{Field, Refusal};

/// The hidden field that names the page a form is on: its path and query.
pub const PAGE: &str = "page";

/// A form that was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The server function's endpoint: `log_in`, `post_message`, …
    pub action: String,
    pub why: Refusal,
    /// What was typed, by the field's name; never a password.
    pub typed: BTreeMap<String, String>,
}

/// The refusal of the form that posts to `action` (an endpoint such as `log_in`), if it is why this page is rendered.
#[must_use]
pub fn refused(action: &str) -> Option<Refused> {
    use_context::<Refused>().filter(|refused| refused.action == action)
}

/// What had been typed into `name` of the form that posts to `action`; empty on a fresh page.
#[must_use]
pub fn typed(action: &str, name: &str) -> String {
    refused(action).and_then(|mut refused| refused.typed.remove(name)).unwrap_or_default()
}

/// The sentence to show beside `field` of the form that posts to `action`.
#[must_use]
pub fn why(action: &str, field: Field) -> Option<String> {
    refused(action).filter(|refused| refused.why.field() == Some(field)).map(|refused| refused.why.to_string())
}

/// The sentence to show for the whole form: a refusal that belongs to none of its fields.
#[must_use]
pub fn why_whole(action: &str) -> Option<String> {
    refused(action).filter(|refused| refused.why.field().is_none()).map(|refused| refused.why.to_string())
}
