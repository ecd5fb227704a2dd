//! One's own account: the password, and the logins.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use reqwest::Method;
use snug::protocol::{LoginItem, Refusal};

use crate::support::{Closed, Engine, PASSWORD, TestApp, on_both};

/// The close code that says: log in again.
const LOG_IN_AGAIN: Closed = Closed(Some(4401));

/// Within how long an ended login is cut off: a second, and one more for a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(2);

/// For how long a login goes on in which a server starts, and a socket is opened, on a machine that is busy with other tests.
const SOON_OVER: Duration = Duration::from_secs(6);

const NEW: &str = "a louder harbour at dawn";

on_both! {
    async fn a_changed_password_is_the_one_that_counts(app: TestApp) {
        let ada = app.sign_up("ada").await;
        ada.ask::<()>("change_password", &[("current", PASSWORD), ("new", NEW)]).await.unwrap();
        let log_in = async |password: &str| app.visitor().ask::<()>("log_in", &[("name", "ada"), ("password", password)]).await;
        assert_eq!(log_in(PASSWORD).await, Err(Refusal::WrongPassword));
        assert_eq!(log_in(NEW).await, Ok(()));
    }

    async fn who_knows_the_old_password_is_not_in_after_it_was_changed(engine: Engine) {
        // One password at a time is hashed: whoever waits for that has been told of the account before.
        let app = TestApp::start_with(engine, |settings| settings.hashes_at_once = 1).await;
        let ada = app.sign_up("ada").await;
        let changed = AtomicBool::new(false);
        let changing = async {
            ada.ask::<()>("change_password", &[("current", PASSWORD), ("new", NEW)]).await.unwrap();
            changed.store(true, Ordering::Relaxed);
        };
        let trying = join_all((0..6).map(|_| async {
            while !changed.load(Ordering::Relaxed) {
                let _in_or_not = app.visitor().ask::<()>("log_in", &[("name", "ada"), ("password", PASSWORD)]).await;
            }
        }));
        tokio::join!(changing, trying);
        let logins: Vec<LoginItem> = ada.ask("list_logins", &[]).await.unwrap();
        assert_eq!(logins.iter().map(|login| login.current).collect::<Vec<_>>(), [true], "{logins:?}");
    }

    async fn what_the_operator_sets_is_not_changed_by_who_was_just_doing_so(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.hashes_at_once = 1).await;
        let (thief, visitor) = (app.sign_up("ada").await, app.visitor());
        // Changing takes two hashes, and others come between them.
        let busy = join_all((0..4).map(|_| visitor.ask::<()>("log_in", &[("name", "nobody"), ("password", "a guess")])));
        let fields = [("current", PASSWORD), ("new", "a thief's own password")];
        let changing = thief.ask::<()>("change_password", &fields);
        let setting = app.snug(&["admin", "set-password", "ada"], "what the operator set\n");
        tokio::join!(changing, busy, setting).2.ok();
        // Whatever came first, what the operator was told is done is what counts.
        assert_eq!(app.visitor().ask::<()>("log_in", &[("name", "ada"), ("password", "what the operator set")]).await, Ok(()));
        assert_eq!(thief.whoami().await, None);
    }

    async fn a_login_that_is_not_used_for_thirty_days_is_over(app: TestApp) {
        let mut app = app;
        let ada = app.sign_up("ada").await;
        app.stop().await;
        app.sql("UPDATE logins SET seen_at = seen_at - 31 * 86400000000").await.unwrap();
        app.start_again().await;
        assert_eq!(ada.whoami().await, None);
        assert_eq!(ada.try_socket(&[("origin", &ada.origin())]).await.err(), Some(401));
        // And takes a socket with it that is open.
        let ada = app.log_in("ada").await;
        app.stop().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let in_a_moment = now - 30 * 86_400_000_000 + SOON_OVER.as_micros();
        app.sql(&format!("UPDATE logins SET seen_at = {in_a_moment}")).await.unwrap();
        app.start_again().await;
        let mut socket = ada.live().await;
        assert_eq!(socket.closed_within(2 * SOON_OVER).await, LOG_IN_AGAIN);
    }

    async fn the_present_password_is_needed_to_change_it(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let answer = ada.ask::<()>("change_password", &[("current", "not the password"), ("new", NEW)]).await;
        assert_eq!(answer, Err(Refusal::WrongCurrentPassword));
        app.log_in("ada").await;
    }

    async fn a_changed_password_ends_every_other_login_and_its_sockets(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let elsewhere = app.log_in("ada").await;
        let bob = app.sign_up("bob").await;
        let (mut here, mut there, mut other) = (ada.live().await, elsewhere.live().await, bob.live().await);
        ada.ask::<()>("change_password", &[("current", PASSWORD), ("new", NEW)]).await.unwrap();
        assert_eq!(there.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(elsewhere.whoami().await, None);
        assert!(ada.whoami().await.is_some(), "the login that changed it stays");
        here.say("general", "still here").await;
        other.message("still here").await;
    }

    async fn logging_out_closes_the_sockets_of_that_login_only(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let elsewhere = app.log_in("ada").await;
        let (mut here, mut here_too, mut there) = (ada.live().await, ada.live().await, elsewhere.live().await);
        ada.ask::<()>("log_out", &[]).await.unwrap();
        assert_eq!(here.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(here_too.closed_within(SOON).await, LOG_IN_AGAIN);
        there.say("general", "still there").await;
    }

    async fn a_login_ended_from_another_is_cut_off(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let elsewhere = app.log_in("ada").await;
        let mut there = elsewhere.live().await;
        let logins: Vec<LoginItem> = ada.ask("list_logins", &[]).await.unwrap();
        assert_eq!(logins.iter().filter(|login| login.current).count(), 1);
        let other = logins.iter().find(|login| !login.current).expect("the other login is listed");
        ada.ask::<()>("end_login", &[("id", &other.id.to_string())]).await.unwrap();
        assert_eq!(there.closed_within(SOON).await, LOG_IN_AGAIN);
        assert_eq!(elsewhere.whoami().await, None);
        let left: Vec<LoginItem> = ada.ask("list_logins", &[]).await.unwrap();
        assert_eq!(left.len(), 1);
        assert!(left[0].current);
    }

    async fn a_login_of_someone_else_cannot_be_ended(app: TestApp) {
        let (ada, eve) = (app.sign_up("ada").await, app.sign_up("eve").await);
        let logins: Vec<LoginItem> = ada.ask("list_logins", &[]).await.unwrap();
        // Whatever it answers, it must not say whether there is such a login, nor end it.
        let id = logins[0].id.to_string();
        let theirs = eve.post_json("end_login", &[("id", &id)]).await;
        let nobodys = eve.post_json("end_login", &[("id", &crate::support::new_id().to_string())]).await;
        assert_eq!((theirs.status, theirs.body), (nobodys.status, nobodys.body));
        assert!(ada.whoami().await.is_some());
    }

    async fn the_list_of_logins_has_ones_own_only(app: TestApp) {
        let (ada, bob) = (app.sign_up("ada").await, app.sign_up("bob").await);
        let of = async |person: &crate::support::Person| person.ask::<Vec<LoginItem>>("list_logins", &[]).await.unwrap();
        assert_eq!((of(&ada).await.len(), of(&bob).await.len()), (1, 1));
        assert_ne!(of(&ada).await[0].id, of(&bob).await[0].id);
        app.log_in("ada").await;
        assert_eq!((of(&ada).await.len(), of(&bob).await.len()), (2, 1));
    }

    async fn a_login_is_called_by_the_program_that_made_it(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0 <b>";
        let headers = [("accept", "application/json"), ("origin", &app.visitor().origin()), ("user-agent", agent)];
        let body = Some("name=ada&password=a+quiet+harbour+at+dusk".to_owned());
        assert_eq!(app.visitor().request(Method::POST, "/actions/log_in", &headers, body).await.status, 200);
        let logins: Vec<LoginItem> = ada.ask("list_logins", &[]).await.unwrap();
        let other = logins.iter().find(|login| !login.current).expect("the other login");
        assert_eq!((other.program.as_str(), other.agent.as_str()), ("Firefox on Linux", agent));
        let page = ada.get("/settings").await.body;
        assert!(page.contains("End the login of Firefox on Linux from 127.0.0.1"), "{page}");
        assert!(page.contains("Firefox/133.0 &lt;b&gt;"), "what it says of itself can be seen");
    }

    async fn the_settings_name_the_time_zone(app: TestApp) {
        let ada = app.sign_up("ada").await;
        assert!(ada.get("/settings").await.body.contains("UTC"));
        ada.set_cookie("tz", "America/New_York");
        assert!(ada.get("/settings").await.body.contains("America/New York"));
    }

    async fn a_weak_new_password_is_refused(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let change = async |new: &str| ada.ask::<()>("change_password", &[("current", PASSWORD), ("new", new)]).await;
        assert!(matches!(change("short").await, Err(Refusal::TooShort { .. })));
        assert_eq!(change("password").await, Err(Refusal::CommonPassword));
        app.log_in("ada").await;
    }
}
