//! Signing up, logging in and out, and the cookie that a login is.

use serde_json::json;
use snug::protocol::{Field, Refusal};

use crate::support::{Engine, PASSWORD, TestApp, eventually, new_id, on_both};

on_both! {
    async fn signing_up_logs_in(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let me = ada.whoami().await.expect("who has signed up is logged in");
        assert_eq!(me.person.user, "ada");
    }

    async fn a_visitor_is_nobody(app: TestApp) {
        assert_eq!(app.visitor().whoami().await, None);
    }

    async fn only_the_first_account_is_an_admin(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        assert!(ada.whoami().await.unwrap().admin);
        assert!(!bob.whoami().await.unwrap().admin);
    }

    async fn of_many_first_accounts_at_once_one_is_an_admin(app: TestApp) {
        let people = futures_util::future::join_all(["ada", "bob", "cyd", "dan"].map(|user| app.sign_up(user))).await;
        let mut admins = 0;
        for person in &people {
            admins += usize::from(person.whoami().await.unwrap().admin);
        }
        assert_eq!(admins, 1);
    }

    async fn a_newcomer_is_in_general_and_sees_the_other_rooms(app: TestApp) {
        let rooms = app.sign_up("ada").await.rooms().await;
        let member = |slug: &str| rooms.iter().find(|item| item.room.as_str() == slug).map(|item| item.member);
        assert_eq!(member("general"), Some(true));
        assert_eq!(member("random"), Some(false));
        assert_eq!(member("help"), Some(false));
    }

    async fn one_logs_in_with_the_username_or_the_email_in_any_case(app: TestApp) {
        app.sign_up("ada").await;
        for name in ["ada", "ada@example.org", "Ada@Example.ORG", "ADA"] {
            let ada = app.visitor().log_in(name, PASSWORD).await;
            assert_eq!(ada.user, "ada", "by {name}");
        }
    }

    async fn a_wrong_password_and_an_unknown_name_get_the_same_answer(app: TestApp) {
        app.sign_up("ada").await;
        let ask = async |name: &str| {
            let fields = [("name", name), ("password", "not the password"), ("page", "/login")];
            let json = app.visitor().post_json("log_in", &fields).await;
            let html = app.visitor().post_form("log_in", &fields).await;
            assert_eq!((json.status, html.status), (401, 401));
            assert_eq!(json.refusal(), Refusal::WrongPassword);
            // What is new with each answer, and what was typed, is not what tells them apart.
            (json.body, html.body.replace(name, "NAME").len())
        };
        let known = ask("ada").await;
        let unknown = ask("eve").await;
        assert_eq!(known, unknown);
        assert_eq!(ask("ada@example.org").await.0, known.0);
    }

    async fn a_taken_name_is_refused_in_any_case(app: TestApp) {
        app.sign_up("ada").await;
        let sign_up = async |email: &str, username: &str| {
            let fields = [("email", email), ("username", username), ("password", PASSWORD)];
            app.visitor().ask::<()>("sign_up", &fields).await
        };
        assert_eq!(sign_up("other@example.org", "ada").await, Err(Refusal::TakenUsername));
        assert_eq!(sign_up("other@example.org", "ADA").await, Err(Refusal::TakenUsername));
        assert_eq!(sign_up("ada@example.org", "other").await, Err(Refusal::TakenEmail));
        assert_eq!(sign_up("ADA@Example.Org", "other").await, Err(Refusal::TakenEmail));
    }

    async fn of_two_who_want_one_name_at_once_one_gets_it(app: TestApp) {
        let sign_up = async |email: &str| {
            let fields = [("email", email), ("username", "ada"), ("password", PASSWORD)];
            app.visitor().ask::<()>("sign_up", &fields).await
        };
        let (one, other) = tokio::join!(sign_up("one@example.org"), sign_up("other@example.org"));
        assert!(one.is_ok() != other.is_ok(), "{one:?} and {other:?}");
        assert_eq!(one.and(other), Err(Refusal::TakenUsername));
    }

    async fn what_does_not_do_as_a_name_or_password_is_refused(app: TestApp) {
        let sign_up = async |email: &str, username: &str, password: &str| {
            let fields = [("email", email), ("username", username), ("password", password)];
            app.visitor().ask::<()>("sign_up", &fields).await.unwrap_err()
        };
        let email = "ada@example.org";
        assert_eq!(sign_up(email, "", PASSWORD).await, Refusal::Empty { field: Field::Username });
        assert_eq!(sign_up(email, "a@b", PASSWORD).await, Refusal::BadForm { field: Field::Username });
        assert_eq!(sign_up(email, &"a".repeat(33), PASSWORD).await, Refusal::TooLong { field: Field::Username, max: 32 });
        assert_eq!(sign_up("", "ada", PASSWORD).await, Refusal::Empty { field: Field::Email });
        assert_eq!(sign_up("no address", "ada", PASSWORD).await, Refusal::BadForm { field: Field::Email });
        assert_eq!(sign_up(email, "ada", "short").await, Refusal::TooShort { field: Field::Password, min: 8 });
        assert_eq!(sign_up(email, "ada", "password").await, Refusal::CommonPassword);
        assert_eq!(app.visitor().log_in_fails("ada").await, Refusal::WrongPassword, "nobody was signed up");
    }

    async fn a_name_that_shows_nothing_or_less_than_it_has_is_refused_at_every_door(app: TestApp) {
        let refusal = Refusal::BadForm { field: Field::Username };
        for name in ["\u{3164}", "\u{115f}", "\u{1160}", "\u{ffa0}", "ada\u{3164}", "ada\u{fe0f}", "a\u{34f}da"] {
            assert_eq!(app.at_every_door(name).await, Err(refusal.clone()), "{name:?}");
        }
    }

    async fn a_name_that_looks_like_another_as_it_is_typed_is_taken(app: TestApp) {
        for (there, likes) in [
            ("alice", ["aIice", "AIice"]),
            // The one with the capital came first.
            ("Ian", ["lan", "LAN"]),
            ("BOB", ["B0B", "\u{412}ob"]),
            ("s1d", ["sId", "SlD"]),
        ] {
            app.sign_up(there).await;
            for like in likes {
                assert_eq!(app.at_every_door(like).await, Err(Refusal::TakenUsername), "{like} beside {there}");
            }
        }
        for (there, other) in [("dian", "dlan"), ("Mia", "Mla")] {
            app.sign_up(there).await;
            assert_eq!(app.at_every_door(other).await, Ok(()), "{other} beside {there}");
        }
    }

    async fn of_two_who_want_names_that_look_alike_at_once_one_gets_it(app: TestApp) {
        let sign_up = async |username: &str| {
            let fields = [("email", &*format!("{username}@example.org")), ("username", username), ("password", PASSWORD)];
            app.visitor().ask::<()>("sign_up", &fields).await
        };
        let (one, other) = tokio::join!(sign_up("leila"), sign_up("leiIa"));
        assert!(one.is_ok() != other.is_ok(), "{one:?} and {other:?}");
        assert_eq!(one.and(other), Err(Refusal::TakenUsername));
    }

    async fn who_looks_alike_from_before_stays_and_is_known_to_newcomers(app: TestApp) {
        let mut app = app;
        for user in ["alice", "Ian", "eve", "nobody"] {
            app.sign_up(user).await;
        }
        app.stop().await;
        app.sql("UPDATE users SET username = 'aIice', username_key = 'aiice' WHERE username = 'eve';
                 UPDATE users SET username = '\u{3164}', username_key = '' WHERE username = 'nobody';").await.unwrap();
        app.make_old().await;
        app.start_again().await;
        for (name, user) in [("alice", "alice"), ("aIice", "aIice"), ("ian", "Ian"), ("\u{3164}", "\u{3164}"), ("eve@example.org", "aIice")] {
            assert_eq!(app.log_in(name).await.user, user);
        }
        assert_eq!(app.at_every_door("lan").await, Err(Refusal::TakenUsername), "by what Ian was given at the start");
        assert_eq!(app.at_every_door("dlan").await, Ok(()));
        app.restart().await;
        assert_eq!(app.log_in("aIice").await.user, "aIice");
    }

    async fn logging_out_ends_the_session_for_every_copy_of_its_cookie(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let thief = ada.copy();
        assert!(thief.whoami().await.is_some());
        ada.ask::<()>("log_out", &[]).await.unwrap();
        assert_eq!(ada.session(), None, "the cookie is taken back");
        assert_eq!(thief.whoami().await, None);
        assert_eq!(thief.ask::<Vec<()>>("list_rooms", &[]).await, Err(Refusal::LogIn));
    }

    async fn logging_out_leaves_other_logins(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let elsewhere = app.log_in("ada").await;
        ada.ask::<()>("log_out", &[]).await.unwrap();
        assert!(elsewhere.whoami().await.is_some());
    }

    async fn the_cookie_is_out_of_reach_of_scripts_and_other_sites(app: TestApp) {
        let cookie = app.visitor().sign_up_cookie("ada").await;
        assert!(cookie.starts_with("snug_session="), "{cookie}");
        assert!(has(&cookie, "httponly") && has(&cookie, "samesite=lax") && has(&cookie, "path=/"), "{cookie}");
        assert!(!has(&cookie, "secure"), "without https, a browser would not keep it: {cookie}");
        assert!(!cookie.to_ascii_lowercase().contains("domain="), "{cookie}");
    }

    async fn under_https_the_cookie_is_bound_to_host_and_encryption(engine: Engine) {
        let https = |settings: &mut snug::server::config::Settings| {
            settings.public_url = Some("https://chat.example.org".parse().unwrap());
        };
        let app = TestApp::start_with(engine, https).await;
        let cookie = app.visitor().sign_up_cookie("ada").await;
        assert!(cookie.starts_with("__Host-snug_session="), "{cookie}");
        for attribute in ["secure", "httponly", "samesite=lax", "path=/"] {
            assert!(has(&cookie, attribute), "{attribute}: {cookie}");
        }
        assert!(!cookie.to_ascii_lowercase().contains("domain="), "{cookie}");
    }

    async fn the_session_has_a_new_name_after_each_login(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let (before, planted) = (ada.session(), ada.copy());
        let ada = ada.copy().log_in("ada", PASSWORD).await;
        assert_ne!(ada.session(), before);
        assert!(ada.whoami().await.is_some());
        assert_eq!(planted.whoami().await, None, "a cookie from before the login is worth nothing");
    }

    async fn a_made_up_cookie_is_nobody(app: TestApp) {
        app.sign_up("ada").await;
        for value in ["AAAAAAAAAAAAAAAAAAAAAA", "x", "%00", &"a".repeat(3000)] {
            let visitor = app.visitor();
            visitor.set_cookie("snug_session", value);
            assert_eq!(visitor.whoami().await, None, "{value}");
            assert_eq!(visitor.get("/").await.status, 303, "{value}");
        }
    }

    async fn a_session_outlives_the_server(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        app.restart().await;
        assert_eq!(ada.whoami().await.expect("still logged in").person.user, "ada");
        assert_eq!(ada.get("/room/general").await.status, 200);
    }

    async fn where_one_goes_after_logging_in_is_on_this_site(app: TestApp) {
        app.sign_up("ada").await;
        let went = async |next: &str| {
            let reply = app.visitor().post_form("log_in", &[("name", "ada"), ("password", PASSWORD), ("next", next)]).await;
            assert_eq!(reply.status, 303);
            reply.location().to_owned()
        };
        assert_eq!(went("/room/general?before=7").await, "/room/general?before=7");
        for elsewhere in ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "\t//evil.example"] {
            assert_eq!(went(elsewhere).await, "/", "{elsewhere:?}");
        }
    }

    async fn many_logins_at_once_are_slowed_or_turned_away_but_not_lost(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.hashes_at_once = 1;
            settings.hashes_waiting = 2;
        }).await;
        app.sign_up("ada").await;
        let fields = [("name", "ada"), ("password", PASSWORD)];
        let asked = (0..12).map(|_| async { app.visitor().ask::<()>("log_in", &fields).await });
        for answer in futures_util::future::join_all(asked).await {
            assert!(matches!(answer, Ok(()) | Err(Refusal::Busy | Refusal::TooFast { .. })), "{answer:?}");
        }
        eventually("a login is accepted again", || async { app.visitor().ask::<()>("log_in", &fields).await.ok() }).await;
    }
}

/// Whether a `Set-Cookie` has this attribute, given in lower case.
fn has(cookie: &str, attribute: &str) -> bool {
    cookie.to_ascii_lowercase().split(';').any(|part| part.trim() == attribute)
}

impl TestApp {
    /// Whether one can sign up under this name. Where not, every door says the same: pages, with their scripts and without, and the API.
    async fn at_every_door(&self, user: &str) -> Result<(), Refusal> {
        let email = format!("{}@example.org", new_id());
        let fields = [("email", &*email), ("username", user), ("password", PASSWORD)];
        let outcome = self.visitor().ask::<()>("sign_up", &fields).await;
        if let Err(refusal) = &outcome {
            let form = self.visitor().post_form("sign_up", &fields).await;
            assert_eq!(form.status, refusal.status());
            let body = json!({ "email": email, "username": user, "password": PASSWORD });
            let api = self.bot().post("/api/auth/register", body).await;
            let code = serde_json::to_value(refusal).unwrap()["code"].clone();
            assert_eq!((api.status, api.problem().into()), (refusal.status(), code));
        }
        outcome
    }
}

impl crate::support::Visitor {
    /// The `Set-Cookie` of the session that signing up gives.
    async fn sign_up_cookie(&self, user: &str) -> String {
        let email = format!("{user}@example.org");
        let reply = self.post_form("sign_up", &[("email", &email), ("username", user), ("password", PASSWORD)]).await;
        assert_eq!(reply.status, 303, "{}", reply.body);
        let mut cookies = reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        cookies.find(|cookie| cookie.contains("snug_session=")).expect("signing up sets the session's cookie").to_owned()
    }

    async fn log_in_fails(&self, name: &str) -> Refusal {
        self.ask::<()>("log_in", &[("name", name), ("password", PASSWORD)]).await.unwrap_err()
    }
}
