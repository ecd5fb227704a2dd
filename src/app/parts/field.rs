//! Parts of forms.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::app::form;
use crate::app::request::request;
use crate::protocol::Field;

/// The hidden field that says which page a form is on.
#[component]
pub fn PageField() -> impl IntoView {
    let path = request().map(|request| request.path.clone()).unwrap_or_default();
    view! { <input type="hidden" name=form::PAGE value=path/> }
}

/// `text` as part of an address, after `?` or `&`.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A labelled input with what was typed into it and why that was refused. Before that it has what the page's address has
/// under its name, such as `/new-room?name=Tea`.
#[component]
pub fn TextField(
    /// The endpoint that the form posts to.
    action: &'static str,
    name: &'static str,
    label: &'static str,
    /// The field by which a refusal names it.
    field: Field,
    #[prop(default = "text")] kind: &'static str,
    autocomplete: &'static str,
    /// A sentence below it.
    #[prop(optional)]
    hint: Option<String>,
    #[prop(optional)] maxlength: Option<usize>,
    #[prop(optional)] minlength: Option<usize>,
    #[prop(default = true)] required: bool,
    #[prop(optional)] autofocus: bool,
) -> impl IntoView {
    let why = form::why(action, field);
    let id = format!("{action}-{name}");
    let (why_id, hint_id) = (format!("{id}-why"), format!("{id}-hint"));
    // Why it was refused says what is asked for; the hint would only say it again.
    let hint = hint.filter(|_| why.is_none());
    let described = why.as_ref().map(|_| why_id.clone()).or_else(|| hint.as_ref().map(|_| hint_id.clone()));
    let typed = match (kind, form::refused(action)) {
        ("password", _) => String::new(),
        (_, Some(_)) => form::typed(action, name),
        (_, None) => use_query_map().with_untracked(|query| query.get(name).unwrap_or_default()),
    };
    let plain = matches!(kind, "password" | "email") || matches!(autocomplete, "username");
    let refused = why.is_some();
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <input
                id=id
                name=name
                type=kind
                value=typed
                autocomplete=autocomplete
                autocapitalize=plain.then_some("none")
                spellcheck=plain.then_some("false")
                maxlength=maxlength.map(|n| n.to_string())
                minlength=minlength.map(|n| n.to_string())
                required=required
                autofocus=refused || autofocus && form::refused(action).is_none()
                aria-invalid=refused.then_some("true")
                aria-describedby=described
            />
            {why.map(|why| view! { <p class="why" id=why_id>{why}</p> })}
            {hint.map(|hint| view! { <p class="hint" id=hint_id>{hint}</p> })}
        </div>
    }
}

/// A labelled choice, as it was made before the form was refused.
#[component]
pub fn ChoiceField(
    /// The endpoint that the form posts to.
    action: &'static str,
    name: &'static str,
    label: &'static str,
    /// The field by which a refusal names it.
    field: Field,
    /// What is sent for each choice, and what it says.
    choices: Vec<(&'static str, &'static str)>,
    /// What is sent where nobody chooses.
    default: &'static str,
    /// A sentence below it.
    hint: &'static str,
) -> impl IntoView {
    let why = form::why(action, field);
    let id = format!("{action}-{name}");
    let (why_id, hint_id) = (format!("{id}-why"), format!("{id}-hint"));
    let refused = why.is_some();
    let described = if refused { format!("{why_id} {hint_id}") } else { hint_id.clone() };
    let typed = form::typed(action, name);
    let chosen = choices.iter().map(|(value, _)| *value).find(|value| *value == typed).unwrap_or(default);
    let choices = choices.into_iter().map(|(value, says)| {
        view! { <option value=value selected=value == chosen>{says}</option> }
    });
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <select id=id name=name autofocus=refused aria-invalid=refused.then_some("true") aria-describedby=described>
                {choices.collect_view()}
            </select>
            {why.map(|why| view! { <p class="why" id=why_id>{why}</p> })}
            <p class="hint" id=hint_id>{hint}</p>
        </div>
    }
}

/// Why a form was refused, where that belongs to none of its fields.
#[component]
pub fn WholeRefusal(action: &'static str) -> impl IntoView {
    form::why_whole(action).map(|why| view! { <p class="why whole" role="alert">{why}</p> })
}

/// A button that posts to `action` with one value, such as the room to join.
#[component]
pub fn PostButton(
    action: &'static str,
    name: &'static str,
    #[prop(into)] value: String,
    label: &'static str,
    #[prop(default = "button")] class: &'static str,
    /// What a screen reader says instead, where the label alone does not tell.
    #[prop(optional, into)]
    spoken: Option<String>,
) -> impl IntoView {
    view! {
        <form method="post" action=format!("/actions/{action}")>
            <PageField/>
            <input type="hidden" name=name value=value/>
            <button class=class aria-label=spoken>{label}</button>
        </form>
    }
}
