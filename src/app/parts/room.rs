//! A room from the inside, as far as it lives: its log and the composer below it.
//!
//! The page comes with the rows that the log had ([`super::rows::page`]); they stay as they are, and what comes in afterwards is
//! laid out below them by the same function. When the log cannot be followed any more, everything is shown anew.

use std::rc::Rc;

use leptos::ev::{KeyboardEvent, SubmitEvent};
use leptos::html::{Div, Section, Textarea};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wasm_bindgen::JsCast;

use super::rows::{Above, LiveRow, Reader, Row};
use super::text::push_escaped;
use crate::app::live::outbox::{Item, State};
use crate::app::live::{Account, Change, Line, browser, live};
use crate::app::request::WallTime;
use crate::app::{form, time};
use crate::protocol::{Event, Message, Micros, Person, Seq, Slug};

/// Scrolled up by no more than this many pixels, one is still at the end.
const NEAR_END: i32 = 24;
/// The most rows that the composer grows to.
const COMPOSER_ROWS: usize = 8;

/// What the page knows of the room when it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// Who reads.
    pub id: Uuid,
    pub user: String,
    pub room: Slug,
    pub name: String,
    /// The last event of the log when it was read.
    pub as_of: Seq,
    pub epoch: Uuid,
    /// Whether this is the latest page of the log: only then does what comes in belong below it.
    pub latest: bool,
    pub closed: bool,
    /// What the next row follows: see [`Above`].
    pub above_at: Option<Micros>,
    pub above_author: Option<String>,
    /// New for each form; see `post_message`.
    pub nonce: Uuid,
    /// What a refused form had in it, and why it was refused.
    pub typed: String,
    pub why: Option<String>,
    /// The path that the page was asked for under.
    pub page: String,
    /// The zone that its times are in.
    pub zone: String,
    /// The most characters in a message.
    pub text_max: u32,
}

#[island]
pub fn Room(opening: Opening, children: Children) -> impl IntoView {
    let Opening { id, user, room, name, as_of, epoch, latest, closed, above_at, above_author, .. } = opening;
    let Opening { nonce, typed, why, page, zone, text_max, .. } = opening;
    let me = Account { id, user };
    let above = Above { at: above_at, author: above_author };
    let log = NodeRef::<Section>::new();
    let past = NodeRef::<Div>::new();
    let composer = NodeRef::<Textarea>::new();
    let address = format!("/room/{room}");

    // Everything of the log that came after the page, or instead of it.
    let rows = RwSignal::new(Vec::<Row>::new());
    // One's own that have not arrived.
    let waiting = RwSignal::new(Vec::<Item>::new());
    let line = RwSignal::new(Line::Fine);
    let paper = Paper { room, me: me.user.clone(), zone, above, at_end: true, height: None };
    let place = Place { log, paper: StoredValue::new(paper), below: RwSignal::new(0) };

    Effect::new(move |_| {
        let live = live();
        live.start(&me);
        let room = place.room();
        for item in live.waiting.get_untracked().iter().filter(|item| item.room == room) {
            // It arrived while the page was being loaded, and stands there.
            if document().query_selector(&format!("[data-id=\"{}\"]", item.id)).is_ok_and(|row| row.is_some()) {
                live.arrived(item.id);
            }
        }
        let show = move |change| match change {
            Change::Show(event) => {
                let laid_out = place.paper.try_update_value(|paper| {
                    let others = matches!(&event, Event::Message(message) if message.by.user != paper.me);
                    Some((paper.lay_out_next(&event)?, others))
                });
                let Some((row, others)) = laid_out.flatten() else { return };
                let new_day = row.day.is_some();
                place.before_growing(others);
                rows.update(|rows| rows.push(row));
                if new_day {
                    place.paper.with_value(Paper::name_days);
                }
            }
            Change::Replace { events, older } => {
                let all = place.paper.try_update_value(|paper| {
                    paper.above = Above::default();
                    events.iter().filter_map(|event| paper.lay_out_next(event)).collect()
                });
                if let Some(past) = past.get_untracked() {
                    past.set_inner_html(&older.map(|seq| older_html(&place.room(), seq)).unwrap_or_default());
                }
                rows.set(all.unwrap_or_default());
            }
        };
        live.open(room, latest.then_some(as_of), epoch, Rc::new(show));
        // The reader may have moved before the page came to life, or come to a message by its address.
        place.scrolled();
    });
    Effect::new(move |_| {
        let room = place.room();
        waiting.set(live().waiting.get().into_iter().filter(|item| item.room == room).collect());
    });
    Effect::new(move |_| line.set(live().line.get()));

    // What waits, laid out as it will stand when it has arrived. There is little of it: all of it at every change.
    let drafts = move || {
        rows.track();
        let down = line.get().is_down();
        let items = waiting.get();
        place.paper.with_value(|paper| {
            let mut above = paper.above.clone();
            let rows = items.into_iter().filter_map(|item| {
                let row = paper.lay_out(&paper.as_event(&item), &mut above)?;
                Some(waiting_row(item, row, down, composer))
            });
            rows.collect_view()
        })
    };
    let jump = move |_| {
        place.to_end();
        if let Some(composer) = composer.get_untracked() {
            let _ = composer.focus();
        }
    };
    let sent = move || {
        if latest {
            place.to_end();
        } else {
            // What one has just said stands at the end of the latest page.
            let _ = location().assign(&format!("/room/{}#end", place.room()));
        }
    };
    let form = (!closed).then(|| {
        let form = Form { room: place.room(), name, as_of, nonce, typed, why, page, text_max };
        compose(form, composer, sent)
    });
    view! {
        <div class="log-frame">
            <section class="log" role="log" aria-label="Messages" tabindex="0" node_ref=log on:scroll=move |_| place.scrolled()>
                <div class="pages">
                    <div node_ref=past>{children()}</div>
                    <ol class="rows">
                        <For each=move || rows.get() key=|row| row.seq let:row>
                            <LiveRow row=row/>
                        </For>
                    </ol>
                    // Announced when they have arrived.
                    <ol class="rows" aria-live="off">{drafts}</ol>
                    <span id="end"></span>
                </div>
            </section>
            {move || {
                let below = place.below.get();
                (below > 0)
                    .then(|| view! { <button type="button" class="jump" on:click=jump>{format!("{below} new below")}</button> })
            }}
        </div>
        {closed
            .then(|| {
                view! {
                    <p class="composer closed">
                        "This room is closed. It can still be read. " <a href=address>"To the latest"</a>
                    </p>
                }
            })}
        {form}
    }
}

/// The way to what is before `seq`.
#[must_use]
pub fn older_html(room: &Slug, seq: Seq) -> String {
    format!("<p class=\"turn\"><a href=\"/room/{room}?before={seq}\">Older messages</a></p>")
}

/// Where the reader is in the log. The log begins at its end (`flex-direction: column-reverse`), so places are counted upwards
/// from there and are negative.
#[derive(Clone, Copy)]
struct Place {
    log: NodeRef<Section>,
    paper: StoredValue<Paper>,
    /// Messages of others that came in below what the reader sees.
    below: RwSignal<u32>,
}

impl Place {
    fn room(self) -> Slug {
        self.paper.with_value(|paper| paper.room.clone())
    }

    /// Something will be put at the end. Who is there stays there; who is elsewhere sees no line move.
    fn before_growing(self, by_others: bool) {
        let Some(log) = self.log.get_untracked() else { return };
        let (at_end, height) = self.paper.with_value(|paper| (paper.at_end, paper.height));
        if at_end {
            return;
        }
        if by_others {
            self.below.update(|below| *below += 1);
        }
        if height.is_some() {
            return;
        }
        self.paper.update_value(|paper| paper.height = Some(log.scroll_height()));
        request_animation_frame(move || {
            let before = self.paper.try_update_value(|paper| paper.height.take()).flatten();
            if let (Some(log), Some(before)) = (self.log.get_untracked(), before) {
                log.set_scroll_top(log.scroll_top() - (log.scroll_height() - before));
            }
        });
    }

    fn scrolled(self) {
        let Some(log) = self.log.get_untracked() else { return };
        let at_end = log.scroll_top() > -NEAR_END;
        if at_end != self.paper.with_value(|paper| paper.at_end) {
            self.paper.update_value(|paper| paper.at_end = at_end);
            live().at_end(at_end);
        }
        if at_end && self.below.get_untracked() > 0 {
            self.below.set(0);
        }
    }

    fn to_end(self) {
        if let Some(log) = self.log.get_untracked() {
            log.set_scroll_top(0);
        }
    }
}

/// What rows are laid out on, and where on it the reader is.
struct Paper {
    room: Slug,
    me: String,
    zone: String,
    /// What the next row follows.
    above: Above,
    at_end: bool,
    /// How high the log was before what has just come in.
    height: Option<i32>,
}

impl Paper {
    /// Lays out the next event of the log.
    fn lay_out_next(&mut self, event: &Event) -> Option<Row> {
        let mut above = std::mem::take(&mut self.above);
        let row = self.lay_out(event, &mut above);
        self.above = above;
        row
    }

    fn lay_out(&self, event: &Event, above: &mut Above) -> Option<Row> {
        let wall = |at| browser::wall(&self.zone, at);
        Row::of(event, above, &Reader { me: &self.me, now: browser::now_micros(), wall: &wall })
    }

    /// What waits, as it will come back.
    fn as_event(&self, item: &Item) -> Event {
        Event::Message(Message {
            room: item.room.clone(),
            seq: Seq::ZERO,
            id: item.id,
            by: Person { user: self.me.clone(), name: None },
            text: item.text.clone(),
            at: Micros(i64::try_from(item.at.saturating_mul(1_000)).unwrap_or_default()),
        })
    }

    /// Names the days anew: what was today may be yesterday by now.
    fn name_days(&self) {
        let now = browser::now_micros();
        let (today, yesterday) = (browser::wall(&self.zone, now), browser::wall(&self.zone, time::day_before(now)));
        let Ok(days) = document().query_selector_all(".day time") else { return };
        for at in 0..days.length() {
            let Some(day) = days.get(at).and_then(|day| day.dyn_into::<web_sys::Element>().ok()) else { continue };
            let Some(wall) = day.get_attribute("datetime").as_deref().and_then(date_of) else { continue };
            day.set_text_content(Some(&time::day_name(&wall, &today, &yesterday)));
        }
    }
}

/// The day that `2026-11-20` names.
fn date_of(date: &str) -> Option<WallTime> {
    let mut parts = date.split('-');
    let mut number = || parts.next()?.parse::<u16>().ok();
    let (year, month, day) = (number()?, number()?, number()?);
    Some(time::day(i32::from(year), u8::try_from(month).ok()?, u8::try_from(day).ok()?))
}

/// A message that has not arrived, with how it stands.
fn waiting_row(item: Item, row: Row, down: bool, composer: NodeRef<Textarea>) -> impl IntoView {
    let id = item.id;
    let refused = matches!(item.state, State::Refused(_));
    let class = format!("{} {}", row.class, if refused { "refused" } else { "waiting" });
    let words = match item.state {
        State::Waiting if down => "waiting for the line…".to_owned(),
        State::Waiting | State::UnderWay => "sending…".to_owned(),
        State::Later { .. } => "The server is busy; sent again in a moment…".to_owned(),
        State::Refused(why) => format!("Not sent. {why}"),
    };
    let take_back = move |_| {
        let (Some(text), Some(composer)) = (live().take_back(id), composer.get_untracked()) else { return };
        let before = composer.value();
        composer.set_value(&if before.trim().is_empty() { text } else { format!("{before}\n{text}") });
        if let Ok(input) = web_sys::Event::new("input") {
            let _ = composer.dispatch_event(&input);
        }
        let _ = composer.focus();
    };
    let actions = refused.then(|| {
        view! {
            " "
            <button type="button" class="link" on:click=move |_| live().try_again(id)>"Try again"</button>
            " "
            <button type="button" class="link" on:click=take_back>"Take back"</button>
        }
    });
    view! {
        {row.day.map(|day| view! { <li class="day"><time datetime=day.date>{day.name}</time></li> })}
        <li class=class>
            <div class="inside" inner_html=row.html></div>
            <p class="state">{words} {actions}</p>
        </li>
    }
}

/// What the composer is rendered with.
struct Form {
    room: Slug,
    name: String,
    as_of: Seq,
    nonce: Uuid,
    typed: String,
    why: Option<String>,
    page: String,
    text_max: u32,
}

/// Where messages are written. Without scripts it is a form; with them, what is sent goes to the outbox, and `sent` is told.
fn compose(form: Form, field: NodeRef<Textarea>, sent: impl Fn() + Copy + Send + 'static) -> impl IntoView {
    let Form { room, name, as_of, nonce, typed, why, page, text_max } = form;
    let max = usize::try_from(text_max).unwrap_or(usize::MAX);
    let refused = why.is_some();
    let notice = RwSignal::new(why);
    let slug = room.to_string();
    let room = StoredValue::new(room);
    // What the field holds has changed.
    let changed = move || {
        let Some(field) = field.get_untracked() else { return };
        let text = field.value();
        let length = text.chars().count();
        field.set_rows(u32::try_from(text.split('\n').count().min(COMPOSER_ROWS)).unwrap_or(1));
        if length > max {
            let over = length - max;
            let characters = if over == 1 { "character" } else { "characters" };
            notice.set(Some(format!("{over} {characters} too many: {max} is the most.")));
            let _ = field.set_attribute("aria-invalid", "true");
            return;
        }
        let _ = field.remove_attribute("aria-invalid");
        let near = length + max / 10 > max;
        if near || notice.with_untracked(Option::is_some) {
            notice.set(near.then(|| format!("{} characters left", max - length)));
        }
    };
    Effect::new(move |_| {
        let Some(field) = field.get() else { return };
        // The browser would bring it back, too: what another tab has sent since, and to whoever logs in here next.
        let _ = field.set_attribute("autocomplete", "off");
        let typed = field.value();
        room.with_value(|room| {
            // What was typed before this page came to life goes before what was left in an earlier one.
            if !typed.is_empty() {
                live().keep_draft(room, &typed);
            } else if let Some(draft) = live().draft(room) {
                field.set_value(&draft);
            }
        });
        if !refused {
            changed();
        }
    });
    Effect::new(move |before: Option<()>| {
        let gone = live().draft_gone.get();
        // The first time it is an old story.
        let (Some(()), Some((slug, text)), Some(field)) = (before, gone, field.get_untracked()) else { return };
        if room.with_value(|room| room.as_str() == slug) && field.value() == text {
            field.set_value("");
            changed();
        }
    });
    let typing = move |_| {
        changed();
        if let Some(field) = field.get_untracked() {
            room.with_value(|room| live().keep_draft(room, &field.value()));
        }
    };
    let send = move || {
        let Some(field) = field.get_untracked() else { return };
        let text = field.value();
        // A message that is too long stays here, with the sentence that says so.
        if text.trim().is_empty() || text.chars().count() > max {
            return;
        }
        room.with_value(|room| {
            live().write(room, text.clone());
            live().draft_sent(room, &text);
        });
        field.set_value("");
        changed();
        sent();
    };
    let submitted = move |event: SubmitEvent| {
        event.prevent_default();
        send();
        if let Some(field) = field.get_untracked() {
            let _ = field.focus();
        }
    };
    let key = move |event: KeyboardEvent| {
        // 229: a key that an input method has taken, in browsers that do not say so otherwise.
        let composing = event.is_composing() || event.key_code() == 229;
        if event.key() == "Enter" && !event.shift_key() && !event.ctrl_key() && !event.alt_key() && !composing {
            event.prevent_default();
            send();
        }
    };
    let label = format!("Message to {name}");
    let mut inside = String::new();
    if !typed.is_empty() {
        // HTML drops a line break at the beginning.
        inside.push('\n');
        push_escaped(&mut inside, &typed);
    }
    view! {
        <form class="composer" method="post" action="/actions/post_message" on:submit=submitted>
            <input type="hidden" name=form::PAGE value=page/>
            <input type="hidden" name="room" value=slug/>
            <input type="hidden" name="nonce" value=nonce.to_string()/>
            <input type="hidden" name="seen" value=as_of.to_string()/>
            <p class="notice" id="text-notice" role="status">{move || notice.get()}</p>
            <div class="box">
                <textarea
                    node_ref=field
                    name="text"
                    rows="1"
                    aria-label=label.clone()
                    placeholder=label
                    aria-describedby="text-notice"
                    aria-invalid=refused.then_some("true")
                    enterkeyhint="send"
                    on:input=typing
                    on:keydown=key
                    inner_html=inside
                ></textarea>
                <button class="button">"Send"</button>
            </div>
        </form>
    }
}
