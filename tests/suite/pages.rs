//! Pages as a browser without scripts sees them: statuses, redirects, headers, and forms that are refused.

use reqwest::Method;
use snug::protocol::Refusal;

use crate::support::{Engine, PASSWORD, Postgres, Reply, TestApp, on_both};

/// Every server function, with fields that it would accept.
pub const ACTIONS: [(&str, &str); 17] = [
    ("sign_up", "email=eve%40example.org&username=eve&password=a+quiet+harbour+at+dusk"),
    ("log_in", "name=ada&password=a+quiet+harbour+at+dusk"),
    ("log_out", ""),
    ("change_password", "current=a+quiet+harbour+at+dusk&new=a+louder+harbour+at+dawn"),
    ("end_login", "id=00000000-0000-4000-8000-000000000000"),
    ("create_room", "name=Garden"),
    ("join_room", "room=random"),
    ("leave_room", "room=general"),
    ("close_room", "room=general"),
    ("reopen_room", "room=general"),
    ("post_message", "room=general&nonce=00000000-0000-4000-8000-000000000000&text=hello"),
    ("mark_read", "room=general&seq=1"),
    ("whoami", ""),
    ("list_rooms", ""),
    ("find_rooms", "query=tea"),
    ("read_room", "room=general"),
    ("list_logins", ""),
];

on_both! {
    async fn each_page_of_a_user_is_there(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for path in ["/", "/room/general", "/room/random", "/new-room", "/settings", "/shortcuts", "/room/general?before=1", "/room/general?after=0"] {
            let page = ada.get(path).await;
            assert_eq!(page.status, 200, "{path}");
            assert!(page.header("content-type").starts_with("text/html"), "{path}");
        }
    }

    async fn a_visitor_is_sent_to_log_in_and_from_there_back(app: TestApp) {
        app.sign_up("ada").await;
        let visitor = app.visitor();
        for (path, next) in [
            ("/", "/login"),
            ("/settings", "/login?next=%2Fsettings"),
            ("/?q=tea", "/login?next=%2F%3Fq%3Dtea"),
            ("/shortcuts", "/login?next=%2Fshortcuts"),
            ("/new-room", "/login?next=%2Fnew-room"),
            ("/room/general?before=7", "/login?next=%2Froom%2Fgeneral%3Fbefore%3D7"),
        ] {
            let page = visitor.get(path).await;
            assert_eq!((page.status, page.location()), (303, next), "{path}");
        }
        assert_eq!(visitor.get("/login").await.status, 200);
        assert_eq!(visitor.get("/signup").await.status, 200);
    }

    async fn the_page_to_log_in_keeps_where_to_go_on(app: TestApp) {
        let page = app.visitor().get("/login?next=%2Froom%2Fgeneral").await;
        let hidden = input(&page, "next").expect("the form carries `next`");
        assert!(hidden.contains("value=\"/room/general\""), "{hidden}");
    }

    async fn who_is_logged_in_needs_no_page_to_log_in(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for path in ["/login", "/signup"] {
            let page = ada.get(path).await;
            assert_eq!((page.status, page.location()), (303, "/"), "{path}");
        }
    }

    async fn what_is_not_there_is_404(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for path in ["/nope", "/room/nope", "/room/No%20Slug", "/room/"] {
            assert_eq!(ada.get(path).await.status, 404, "{path}");
        }
        assert_eq!(app.visitor().get("/nope").await.status, 404);
    }

    async fn a_page_of_a_user_is_not_stored(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for path in ["/", "/room/general", "/new-room", "/settings"] {
            let page = ada.get(path).await;
            assert!(page.header("cache-control").contains("no-store"), "{path}: {:?}", page.header("cache-control"));
        }
        let refused = ada.post_form("create_room", &[("name", ""), ("page", "/new-room")]).await;
        let (said, unsaid) = (ada.post_json("list_rooms", &[]).await, ada.post_json("read_room", &[("room", "none")]).await);
        for (reply, status) in [(refused, 422), (said, 200), (unsaid, 404)] {
            assert_eq!((reply.status, reply.header("cache-control")), (status, "no-store"));
        }
    }

    async fn every_page_has_a_policy_with_a_fresh_nonce(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let visitor = app.visitor();
        let mut nonces = Vec::new();
        for page in [
            ada.get("/").await,
            ada.get("/room/general").await,
            ada.get("/room/random").await,
            ada.get("/new-room").await,
            ada.get("/settings").await,
            ada.get("/nope").await,
            visitor.get("/login").await,
            visitor.get("/signup").await,
            visitor.post_form("log_in", &[("name", "ada"), ("password", "wrong one"), ("page", "/login")]).await,
        ] {
            let policy = page.header("content-security-policy").to_owned();
            assert!(!policy.contains("'unsafe-eval'"), "{policy}");
            assert!(!policy.contains("unsafe-inline"), "{policy}");
            for directive in ["default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
                assert!(policy.contains(directive), "{directive} in {policy}");
            }
            let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
            assert!(nonce.len() >= 16, "{nonce}");
            for script in page.body.split("<script").skip(1) {
                let tag = script.split('>').next().unwrap();
                assert!(tag.contains(&format!("nonce=\"{nonce}\"")) || tag.contains("src=\""), "<script{tag}>");
            }
            assert!(!page.body.contains(" style=\""), "an inline style, which the policy forbids");
            assert!(!page.body.contains("<style"), "an inline style sheet, which the policy forbids");
            nonces.push(nonce.to_owned());
        }
        nonces.sort();
        nonces.dedup();
        assert_eq!(nonces.len(), 9, "each answer has a nonce of its own");
    }

    async fn every_answer_has_the_headers_that_protect_it(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for page in [ada.get("/").await, ada.get("/nope").await, ada.get("/healthz").await, ada.post_json("whoami", &[]).await] {
            assert_eq!(page.header("x-content-type-options"), "nosniff");
            assert_eq!(page.header("referrer-policy"), "same-origin");
            assert!(!page.header("content-security-policy").is_empty());
        }
    }

    async fn it_says_that_it_lives_and_is_ready(app: TestApp) {
        assert_eq!(app.visitor().get("/healthz").await.status, 200);
        assert_eq!(app.visitor().get("/readyz").await.status, 200);
    }

    async fn a_refused_login_shows_the_page_again_with_what_was_typed(app: TestApp) {
        app.sign_up("ada").await;
        let typed = [("name", "ada.of.the.\"harbour\""), ("password", "wrong-and-secret"), ("page", "/login?next=%2Fsettings"), ("next", "/settings")];
        let page = app.visitor().post_form("log_in", &typed).await;
        assert_eq!(page.status, 401);
        assert!(page.body.contains("That name and password do not go together."), "it says why");
        let name = input(&page, "name").expect("the form is there");
        assert!(name.contains("ada.of.the.&quot;harbour&quot;"), "{name}");
        assert!(!page.body.contains("wrong-and-secret"), "a password is not sent back");
        let next = input(&page, "next").expect("the form carries `next`");
        assert!(next.contains("value=\"/settings\""), "{next}");
    }

    async fn a_refused_sign_up_shows_the_page_again_with_what_was_typed(app: TestApp) {
        app.sign_up("ada").await;
        let typed = [("email", "ada2@example.org"), ("username", "ada"), ("password", PASSWORD), ("page", "/signup")];
        let page = app.visitor().post_form("sign_up", &typed).await;
        assert_eq!(page.status, 409);
        assert!(page.body.contains("Someone has that username already."));
        assert!(input(&page, "email").unwrap().contains("ada2@example.org"));
        assert!(!page.body.contains(PASSWORD));
        let short = [("email", "b@example.org"), ("username", "bob"), ("password", "short"), ("page", "/signup")];
        assert_eq!(app.visitor().post_form("sign_up", &short).await.status, 422);
    }

    async fn a_refused_field_says_what_is_asked_for_once(app: TestApp) {
        const FORM: &str = "dots, hyphens";
        assert_eq!(app.visitor().get("/signup").await.body.matches(FORM).count(), 1);
        let typed = [("email", "a@example.org"), ("username", "a b"), ("password", PASSWORD), ("page", "/signup")];
        assert_eq!(app.visitor().post_form("sign_up", &typed).await.body.matches(FORM).count(), 1);
    }

    async fn an_address_may_fill_in_a_form_but_no_password(app: TestApp) {
        let page = app.visitor().get("/login?name=ada&password=secret").await;
        assert!(input(&page, "name").unwrap().contains("value=\"ada\""));
        assert!(input(&page, "password").unwrap().contains("value=\"\""));
    }

    async fn a_refused_message_is_still_in_the_composer(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let nonce = crate::support::new_id().to_string();
        let text = format!("{}the end", "too long ".repeat(500));
        let typed = [("room", "general"), ("nonce", nonce.as_str()), ("text", &text), ("page", "/room/general")];
        let page = ada.post_form("post_message", &typed).await;
        assert_eq!(page.status, 422);
        assert!(page.body.contains("4000 characters is the most"), "it says why");
        assert!(page.body.contains(&text), "nothing typed is lost");
        assert!(ada.log("general").await.iter().all(|event| !matches!(event, snug::protocol::Event::Message(_))));
    }

    async fn a_refused_new_room_shows_the_page_again(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let page = ada.post_form("create_room", &[("name", "  "), ("topic", "all about boats"), ("page", "/new-room")]).await;
        assert_eq!(page.status, 422);
        assert!(page.body.contains("Please fill in the name."));
        assert!(page.body.contains("all about boats"));
    }

    async fn the_page_of_a_refused_form_is_one_of_ours(app: TestApp) {
        for page in ["https://evil.example/", "//evil.example", "/actions/log_out", "/ws", "nonsense", ""] {
            let reply = app.visitor().post_form("log_in", &[("name", "eve"), ("password", "wrong one"), ("page", page)]).await;
            assert!(reply.status == 401 || reply.status == 400, "{page}: {}", reply.status);
            assert!(reply.location().is_empty(), "{page}: {}", reply.location());
        }
    }

    async fn forms_do_what_their_islands_do(app: TestApp) {
        let visitor = app.visitor();
        let fields = [("email", "ada@example.org"), ("username", "ada"), ("password", PASSWORD), ("page", "/signup")];
        let reply = visitor.post_form("sign_up", &fields).await;
        assert_eq!((reply.status, reply.location()), (303, "/"));
        let reply = visitor.post_form("create_room", &[("name", "Garden"), ("topic", "what grows")]).await;
        assert_eq!((reply.status, reply.location()), (303, "/room/garden"));
        let nonce = crate::support::new_id().to_string();
        let post = [("room", "garden"), ("nonce", nonce.as_str()), ("text", "beans & <b>peas</b>"), ("page", "/room/garden")];
        for _ in 0..2 {
            let reply = visitor.post_form("post_message", &post).await;
            assert_eq!((reply.status, reply.location()), (303, "/room/garden#end"));
        }
        let page = visitor.get("/room/garden").await;
        assert_eq!(page.body.matches("beans &amp; &lt;b&gt;peas&lt;/b&gt;").count(), 1, "posted twice, there once, and escaped");
        let reply = visitor.post_form("leave_room", &[("room", "garden")]).await;
        assert_eq!((reply.status, reply.location()), (303, "/"));
        let reply = visitor.post_form("log_out", &[]).await;
        assert_eq!((reply.status, reply.location()), (303, "/login"));
    }

    async fn a_form_of_who_is_not_logged_in_leads_to_the_login(app: TestApp) {
        let reply = app.visitor().post_form("join_room", &[("room", "random"), ("page", "/room/random")]).await;
        assert!(
            reply.status == 401 || reply.status == 303 && reply.location() == "/login?next=%2Froom%2Frandom",
            "{} {}", reply.status, reply.location(),
        );
    }

    async fn lines_typed_into_a_form_are_lines(app: TestApp) {
        let ada = app.sign_up("ada").await;
        ada.post("general", "one\r\ntwo").await;
        let log = ada.log("general").await;
        let Some(snug::protocol::Event::Message(message)) = log.last() else { panic!("{log:?}") };
        assert_eq!(message.text, "one\ntwo");
    }

    async fn a_write_from_another_site_changes_nothing(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let before = (ada.session(), ada.rooms().await, ada.log("general").await);
        for (action, body) in ACTIONS {
            for origin in [None, Some("null"), Some("http://evil.example"), Some("https://127.0.0.1")] {
                let mut headers = vec![("accept", "application/json")];
                headers.extend(origin.map(|origin| ("origin", origin)));
                let reply = ada.request(Method::POST, &format!("/actions/{action}"), &headers, Some(body.into())).await;
                assert_eq!(reply.status, 403, "{action} from {origin:?}");
                assert_eq!(reply.refusal(), Refusal::CrossSite, "{action} from {origin:?}");
            }
            for site in ["cross-site", "same-site", "none"] {
                let headers = [("accept", "text/html"), ("sec-fetch-site", site)];
                let reply = ada.request(Method::POST, &format!("/actions/{action}"), &headers, Some(body.into())).await;
                assert_eq!(reply.status, 403, "{action} from {site}");
            }
        }
        assert_eq!((ada.session(), ada.rooms().await, ada.log("general").await), before);
        assert_eq!(app.visitor().whoami().await, None);
    }

    async fn a_browser_that_says_same_origin_needs_no_origin(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let headers = [("accept", "application/json"), ("sec-fetch-site", "same-origin")];
        let reply = ada.request(Method::POST, "/actions/whoami", &headers, Some(String::new())).await;
        assert_eq!(reply.status, 200);
    }

    async fn nothing_is_changed_by_a_get(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let before = (ada.rooms().await, ada.log("general").await);
        for (action, body) in ACTIONS {
            let reply = ada.get(&format!("/actions/{action}?{body}")).await;
            assert_eq!((reply.status, reply.location()), (303, "/"), "{action}");
        }
        assert_eq!((ada.rooms().await, ada.log("general").await), before);
        assert!(ada.whoami().await.is_some());
    }

    async fn a_page_comes_whole_and_is_named_in_its_head(app: TestApp) {
        let ada = app.sign_up("ada").await;
        for (path, status, title) in [("/", 200, "Rooms"), ("/room/general", 200, "general"), ("/room/nowhere", 404, "No such room")] {
            let reply = ada.get(path).await;
            assert_eq!(reply.status, status, "{path}");
            assert_eq!(reply.header("content-length"), reply.body.len().to_string(), "{path}");
            let (head, body) = reply.body.split_once("</head>").expect("a head");
            assert!(head.contains(&format!("<title>{title} · Snug</title>")), "{path}: {head}");
            assert!(body.ends_with("<i id=\"all\" hidden></i></body></html>"), "{path}");
        }
    }

    async fn a_form_without_its_fields_is_a_bad_request(app: TestApp) {
        let ada = app.sign_up("ada").await;
        assert_eq!(ada.ask::<()>("post_message", &[("room", "general")]).await, Err(Refusal::BadRequest));
        assert_eq!(ada.ask::<()>("mark_read", &[("room", "general"), ("seq", "many")]).await, Err(Refusal::BadRequest));
        assert_eq!(ada.ask::<()>("end_login", &[("id", "me")]).await, Err(Refusal::BadRequest));
    }

    async fn a_room_can_be_paged_back_to_its_beginning(app: TestApp) {
        let ada = app.sign_up("ada").await;
        let mut socket = ada.live().await;
        for n in 0..130 {
            socket.say("general", &format!("message number {n}.")).await;
        }
        let mut page = ada.page("general").await;
        assert!(!page.newer, "the latest page is the last");
        let mut all = page.events.to_vec();
        while let Some(older) = page.older {
            page = ada.page_before("general", older).await;
            assert!(page.newer);
            all.splice(0..0, page.events.iter().cloned());
        }
        let seqs: Vec<i64> = all.iter().map(|event| event.place().unwrap().1.0).collect();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
        assert_eq!(all, ada.log("general").await, "forwards it is the same");
        assert!(ada.get("/room/general").await.body.contains("message number 129."));
        assert!(!ada.get("/room/general").await.body.contains("message number 3."));
        assert!(ada.get("/room/general?before=10").await.body.contains("message number 3."));
        assert!(ada.get("/room/general?after=1").await.body.contains("message number 3."));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_said_to_be_and_nobody_is_sent_to_log_in() {
    let database = Postgres::shared().database().await;
    let app = TestApp::start_with(Engine::Postgres, |settings| settings.database_url = Some(database.clone().into())).await;
    let ada = app.sign_up("ada").await;
    Postgres::shared().drop(&database).await;
    for path in ["/", "/room/general", "/settings"] {
        let page = ada.get(path).await;
        assert_eq!(page.status, 503, "{path}");
        assert!(page.body.contains("Back in a moment.") && page.body.contains("cannot reach its database"), "{}", page.body);
        assert!(page.body.contains(&format!("href=\"{path}\"")), "it can be tried again: {}", page.body);
    }
    let form = [("room", "random"), ("page", "/")];
    assert_eq!(ada.post_form("join_room", &form).await.status, 503);
}

/// The tag of the first field of that name.
fn input(page: &Reply, name: &str) -> Option<String> {
    let wanted = format!("name=\"{name}\"");
    page.body.split('<').map(|tag| tag.split('>').next().unwrap_or_default()).find(|tag| tag.contains(&wanted)).map(str::to_owned)
}
