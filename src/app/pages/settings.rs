//! `/settings`: one's password, one's logins, and what depends on the browser.

use crate::app::parts::title::Title;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::page;
use crate::app::actions::list_logins;
use crate::app::form;
use crate::app::parts::field::{PageField, PostButton, TextField, WholeRefusal};
use crate::app::parts::frame::{Frame, PageHead, Pane};
use crate::app::request::request;
use crate::app::time;
use crate::protocol::{Field, LoginItem, Micros, PASSWORD_MAX, PASSWORD_MIN};

#[component]
pub fn Settings() -> impl IntoView {
    let done = use_query_map().with_untracked(|query| query.get("done"));
    view! {
        <Title text="Settings"/>
        {page(|me, rooms| async move {
            let logins = list_logins().await?;
            let who = me.person.user.clone();
            Ok(view! {
                <Frame me=me rooms=rooms pane=Pane::Page>
                    <main id="main" class="sheet">
                        <PageHead title="Settings"/>
                        <div class="sheet-body">
                            <Done done=done/>
                            <Password who=who/>
                            <Logins logins=logins/>
                            <Here/>
                        </div>
                    </main>
                </Frame>
            })
        })}
    }
}

/// What has just been done, unless a form was refused since.
#[component]
fn Done(done: Option<String>) -> impl IntoView {
    let refused = use_context::<form::Refused>().is_some();
    let sentence = match done.as_deref() {
        Some("password") => Some("Your password is changed. Your other logins have been ended."),
        Some("login") => Some("That login has been ended."),
        _ => None,
    };
    sentence.filter(|_| !refused).map(|sentence| view! { <p class="done" role="status">{sentence}</p> })
}

#[component]
fn Password(who: String) -> impl IntoView {
    const ACTION: &str = "change_password";
    view! {
        <section aria-labelledby="password">
            <h2 id="password">"Password"</h2>
            <form class="stack" method="post" action="/actions/change_password">
                <WholeRefusal action=ACTION/>
                <PageField/>
                // For password managers: whose password this is.
                <input type="text" name="username" value=who autocomplete="username" readonly=true hidden=true/>
                <TextField
                    action=ACTION
                    name="current"
                    label="Your current password"
                    field=Field::CurrentPassword
                    kind="password"
                    autocomplete="current-password"
                    maxlength=PASSWORD_MAX
                />
                <TextField
                    action=ACTION
                    name="new"
                    label="The new one"
                    field=Field::Password
                    kind="password"
                    autocomplete="new-password"
                    minlength=PASSWORD_MIN
                    maxlength=PASSWORD_MAX
                    hint=format!("At least {PASSWORD_MIN} characters. Every other login of yours ends with the change.")
                />
                <p class="actions"><button class="button">"Change the password"</button></p>
            </form>
        </section>
    }
}

#[component]
fn Logins(logins: Vec<LoginItem>) -> impl IntoView {
    view! {
        <section aria-labelledby="logins">
            <h2 id="logins">"Where you are logged in"</h2>
            <WholeRefusal action="end_login"/>
            <ul class="logins">
                {logins.into_iter().map(|login| view! { <Login login=login/> }).collect_view()}
            </ul>
        </section>
    }
}

/// What holds in this browser.
#[component]
fn Here() -> impl IntoView {
    let zone = request().map_or_else(|| "UTC".to_owned(), |request| request.zone.clone());
    view! {
        <section aria-labelledby="here">
            <h2 id="here">"In this browser"</h2>
            <dl class="facts">
                <div>
                    <dt>"Time zone"</dt>
                    <dd>{zone.replace('_', " ")} <span class="hint">", as the browser says"</span></dd>
                </div>
                <div>
                    <dt>"Keyboard"</dt>
                    <dd><a href="/shortcuts">"All shortcuts"</a></dd>
                </div>
            </dl>
            <form method="post" action="/actions/log_out">
                <WholeRefusal action="log_out"/>
                <PageField/>
                <button class="button quiet">"Log out here"</button>
            </form>
        </section>
    }
}

#[component]
fn Login(login: LoginItem) -> impl IntoView {
    let spoken = format!("End the login of {} from {}", login.program, login.address);
    // A program that has but a name has said it.
    let says = (login.agent != login.program && !login.agent.is_empty()).then_some(login.agent);
    view! {
        <li>
            <div>
                <p class="agent">
                    {login.program}
                    {login.current.then(|| view! { " " <span class="tag">"this one"</span> })}
                </p>
                <p class="hint">
                    {login.address} ", since " <Moment at=login.created_at/> ", last seen " <Moment at=login.seen_at/>
                </p>
                {says
                    .map(|says| {
                        view! {
                            <details>
                                <summary>"What it calls itself"</summary>
                                <p class="hint">{says}</p>
                            </details>
                        }
                    })}
            </div>
            {(!login.current)
                .then(|| {
                    view! {
                        <PostButton
                            action="end_login"
                            name="id"
                            value=login.id.to_string()
                            label="End"
                            class="button quiet small"
                            spoken=spoken
                        />
                    }
                })}
        </li>
    }
}

#[component]
fn Moment(at: Micros) -> impl IntoView {
    let wall = request().map_or_else(|| time::utc(at), |request| (request.wall)(at));
    view! { <time datetime=time::iso(at)>{time::in_full(&wall)}</time> }
}
