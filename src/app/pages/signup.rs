//! `/signup`. No script is loaded here either.

use crate::app::parts::title::Title;
use leptos::prelude::*;

use super::login::{next, with_next};
use crate::app::parts::field::{PageField, TextField, WholeRefusal};
use crate::app::parts::mark::Mark;
use crate::protocol::{EMAIL_MAX, Field, PASSWORD_MAX, PASSWORD_MIN, USERNAME_MAX};

#[component]
pub fn SignUp() -> impl IntoView {
    const ACTION: &str = "sign_up";
    let next = next(ACTION);
    let log_in = with_next("/login", &next);
    view! {
        <Title text="Make an account"/>
        <main class="door">
            <form class="card" method="post" action="/actions/sign_up">
                <Mark/>
                <div>
                    <h1>"Come on in."</h1>
                    <p>"An account is a name, and a password that lets only you use it."</p>
                </div>
                <WholeRefusal action=ACTION/>
                <PageField/>
                <input type="hidden" name="next" value=next/>
                <TextField
                    action=ACTION
                    name="email"
                    label="E-mail"
                    field=Field::Email
                    kind="email"
                    autocomplete="email"
                    maxlength=EMAIL_MAX
                    autofocus=true
                />
                <TextField
                    action=ACTION
                    name="username"
                    label="Username"
                    field=Field::Username
                    autocomplete="username"
                    maxlength=USERNAME_MAX
                    hint="What others see. Letters and digits; dots, hyphens and underscores between them.".to_owned()
                />
                <TextField
                    action=ACTION
                    name="password"
                    label="Password"
                    field=Field::Password
                    kind="password"
                    autocomplete="new-password"
                    minlength=PASSWORD_MIN
                    maxlength=PASSWORD_MAX
                    hint=format!("At least {PASSWORD_MIN} characters. A few words in a row are easy to keep.")
                />
                <button class="button">"Make my account"</button>
                <p>"Been here before? " <a href=log_in>"Log in"</a></p>
            </form>
        </main>
    }
}
