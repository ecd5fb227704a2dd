//! `/login`. No script is loaded here: a form is all there is to it.

use crate::app::parts::title::Title;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::app::form;
use crate::app::parts::field::{PageField, TextField, WholeRefusal, encoded};
use crate::app::parts::mark::Mark;
use crate::protocol::{EMAIL_MAX, Field, PASSWORD_MAX};

/// Where to go afterwards: what the form already said, or what the address says.
pub fn next(action: &str) -> String {
    let typed = form::typed(action, "next");
    if typed.is_empty() { use_query_map().with_untracked(|query| query.get("next").unwrap_or_default()) } else { typed }
}

/// `page` with the `next` of this one.
pub fn with_next(page: &str, next: &str) -> String {
    if next.is_empty() {
        return page.to_owned();
    }
    format!("{page}?next={}", encoded(next))
}

#[component]
pub fn LogIn() -> impl IntoView {
    const ACTION: &str = "log_in";
    let next = next(ACTION);
    let ahead = !next.is_empty();
    let sign_up = with_next("/signup", &next);
    view! {
        <Title text="Log in"/>
        <main class="door">
            <form class="card" method="post" action="/actions/log_in">
                <Mark/>
                <div>
                    <h1>"Good to see you."</h1>
                    <p>"Snug is a chat of rooms: come in, sit down, and join the talk."</p>
                </div>
                <WholeRefusal action=ACTION/>
                <PageField/>
                <input type="hidden" name="next" value=next/>
                <TextField
                    action=ACTION
                    name="name"
                    label="E-mail or username"
                    field=Field::Username
                    autocomplete="username"
                    maxlength=EMAIL_MAX
                    autofocus=true
                />
                <TextField
                    action=ACTION
                    name="password"
                    label="Password"
                    field=Field::Password
                    kind="password"
                    autocomplete="current-password"
                    maxlength=PASSWORD_MAX
                />
                {ahead.then(|| view! { <p class="hint">"From here you go on to where you were headed."</p> })}
                <button class="button">"Log in"</button>
                <p>"New here? " <a href=sign_up>"Make an account"</a></p>
            </form>
        </main>
    }
}

#[cfg(test)]
mod tests {
    use super::with_next;

    #[test]
    fn the_way_on_is_kept_between_the_two_doors() {
        assert_eq!(with_next("/signup", ""), "/signup");
        assert_eq!(with_next("/signup", "/room/tea?before=3&x"), "/signup?next=/room/tea%3Fbefore%3D3%26x");
    }
}
