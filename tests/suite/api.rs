//! The API as such: how it refuses, whom it lets in, and how often.

use reqwest::Method;
use serde_json::{Value, json};
use snug::protocol::Refusal;

use crate::support::{Engine, PASSWORD, TestApp, on_both};

const JSON: (&str, &str) = ("content-type", "application/json");

on_both! {
    async fn whatever_is_refused_is_refused_in_one_shape(app: TestApp) {
        let bot = app.register("ada").await;
        let post = async |path: &str, headers: &[(&str, &str)], body: &str| {
            bot.request(Method::POST, path, headers, Some(body.to_owned())).await
        };
        let login = "/api/auth/login";
        for (what, reply, status, code) in [
            ("an address", bot.get("/api/nothing").await, 404, "not_found"),
            ("an address", bot.act("/api/").await, 404, "not_found"),
            ("a method", bot.get(login).await, 405, "method_not_allowed"),
            ("a method", bot.request(Method::PUT, "/api/me", &[], None).await, 405, "method_not_allowed"),
            ("no type", post(login, &[], "{}").await, 415, "unsupported_media_type"),
            ("another type", post(login, &[("content-type", "text/plain")], "{}").await, 415, "unsupported_media_type"),
            ("no body", bot.request(Method::POST, login, &[JSON], None).await, 400, "bad_request"),
            ("no JSON", post(login, &[JSON], "{").await, 400, "bad_request"),
            ("no object", post(login, &[JSON], "[]").await, 400, "bad_request"),
            ("a field missing", post(login, &[JSON], r#"{"name":"ada"}"#).await, 400, "bad_request"),
            ("a field too many", post(login, &[JSON], r#"{"name":"ada","password":"x","otp":"1"}"#).await, 400, "bad_request"),
            ("a field of another type", post(login, &[JSON], r#"{"name":1,"password":"x"}"#).await, 400, "bad_request"),
            ("a body too large", post(login, &[JSON], &"x".repeat(70_000)).await, 413, "too_large"),
            ("another site", post(login, &[JSON, ("origin", "https://evil.example")], "{}").await, 403, "cross_site"),
            ("another site", post(login, &[JSON, ("sec-fetch-site", "cross-site")], "{}").await, 403, "cross_site"),
            ("a wrong password", bot.post(login, json!({ "name": "ada", "password": "wrong" })).await, 401, "wrong_password"),
        ] {
            assert_eq!((reply.status, reply.problem().as_str()), (status, code), "{what}: {}", reply.body);
        }
        let reply = bot.get(login).await;
        assert_eq!(reply.header("allow"), "POST");
    }

    async fn a_refusal_says_what_and_where(app: TestApp) {
        let bot = app.bot();
        let post = async |body: Value| bot.post("/api/auth/register", body).await;
        let new = |name: &str, value: &str| {
            let mut new = json!({ "email": "ada@example.org", "username": "ada", "password": PASSWORD });
            new[name] = json!(value);
            new
        };
        let reply = post(new("password", "short")).await;
        let said: Value = reply.json();
        assert_eq!((reply.problem().as_str(), &said["field"], &said["min"]), ("too_short", &json!("password"), &json!(8)));
        assert_eq!(said["title"], "Unprocessable Entity");
        assert_eq!(said["detail"], "That password is too short: at least 8 characters, please.");
        let why: Refusal = reply.json();
        assert!(matches!(why, Refusal::TooShort { min: 8, .. }), "it is what every door says: {why:?}");
        app.register("ada").await;
        assert_eq!(post(new("email", "other@example.org")).await.problem(), "taken_username");
        let reply = post(json!({ "email": "a@example.org", "username": "a", "password": PASSWORD, "mood": 1 })).await;
        assert!(reply.body.contains("unknown field `mood`"), "{}", reply.body);
    }

    async fn who_asks_is_told_how_often_they_still_may(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| settings.command_rate = 1).await;
        let (ada, bob) = (app.register("ada").await, app.register("bob").await);
        let again = app.bot().log_in("ada").await;
        let mut left = 5;
        let refused = loop {
            let reply = [&ada, &again][left as usize % 2].get("/api/me").await;
            assert_eq!(reply.header("ratelimit-policy"), "\"requests\";q=5;w=5");
            if reply.status == 429 {
                break reply;
            }
            let says = reply.header("ratelimit").strip_prefix("\"requests\";r=").and_then(|r| r.parse::<u32>().ok()).expect("a number");
            assert!(says < 5, "{says}");
            left = says;
        };
        assert_eq!((refused.problem().as_str(), refused.header("ratelimit"), refused.header("retry-after")), ("too_fast", "\"requests\";r=0", "1"));
        assert_eq!(bob.get("/api/me").await.status, 200, "the limit is each person's own");
    }

    async fn scripts_of_other_origins_stay_out(app: TestApp) {
        let bot = app.register("ada").await;
        let origin = ("origin", "https://board.example.org");
        let reply = bot.request(Method::GET, "/api/me", &[origin], None).await;
        assert_eq!(reply.header("access-control-allow-origin"), "");
        let asks = [origin, ("access-control-request-method", "POST"), ("access-control-request-headers", "authorization")];
        let reply = bot.request(Method::OPTIONS, "/api/me", &asks, None).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (405, ""));
        assert_eq!(bot.request(Method::POST, "/api/ws-ticket", &[origin], None).await.status, 403);
    }

    async fn scripts_of_named_origins_come_in_with_a_token_and_without_cookies(engine: Engine) {
        let app = TestApp::start_with(engine, |settings| {
            settings.cors_origins = "https://board.example.org, http://localhost:8080/".parse().unwrap();
        }).await;
        let bot = app.register("ada").await;
        for origin in ["https://board.example.org", "http://localhost:8080"] {
            let origin = ("origin", origin);
            let asks = [origin, ("access-control-request-method", "POST"), ("access-control-request-headers", "authorization,content-type")];
            let reply = bot.request(Method::OPTIONS, "/api/ws-ticket", &asks, None).await;
            assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, origin.1));
            assert_eq!(reply.header("access-control-allow-credentials"), "");
            let reply = bot.request(Method::POST, "/api/ws-ticket", &[origin], None).await;
            assert_eq!((reply.status, reply.header("access-control-allow-origin")), (201, origin.1), "{}", reply.body);
            assert!(reply.header("vary").contains("origin"), "{}", reply.header("vary"));
        }
        for origin in ["https://evil.example", "https://board.example.org.evil.example", "http://board.example.org", "null"] {
            let reply = bot.request(Method::POST, "/api/ws-ticket", &[("origin", origin)], None).await;
            assert_eq!((reply.status, reply.header("access-control-allow-origin")), (403, ""), "{origin}");
        }
        // The pages' own doors are not opened by it.
        let ada = app.sign_up("bob").await;
        let reply = ada.request(Method::POST, "/actions/log_out", &[("origin", "https://board.example.org")], Some(String::new())).await;
        assert_eq!(reply.status, 403);
    }

    async fn answers_to_a_token_are_kept_by_nobody(app: TestApp) {
        let bot = app.register("ada").await;
        assert_eq!(bot.get("/api/me").await.header("cache-control"), "no-store");
    }

    async fn the_api_describes_itself(app: TestApp) {
        let reply = app.bot().get("/api/openapi.json").await;
        let document: Value = reply.json();
        assert_eq!((reply.status, document["openapi"].as_str().unwrap()), (200, "3.1.0"));
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let operations: Vec<_> = document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        }).collect();
        assert_eq!(operations.len(), 16, "{operations:?}");
        // Each of them is there, and what wants a token says so.
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let path = path.replace("{slug}", "general");
                let reply = app.bot().request(method.clone(), &path, &[JSON], Some("{}".to_owned())).await;
                let guarded = operation["security"] == json!([{ "token": [] }]);
                assert_eq!(reply.problem(), if guarded { "log_in" } else { "bad_request" }, "{method} {path}");
                assert!(operation["responses"][reply.status.to_string()].is_object(), "{method} {path} says {}", reply.status);
                // And what writes does so for no other site.
                let (origin, other) = (("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"));
                for from_elsewhere in [origin, other].into_iter().filter(|_| method == Method::POST) {
                    let reply = app.bot().request(method.clone(), &path, &[JSON, from_elsewhere], Some("{}".to_owned())).await;
                    assert_eq!(reply.problem(), "cross_site", "{method} {path}");
                    assert!(operation["responses"]["403"].is_object(), "{method} {path}");
                }
            }
        }
    }

    async fn the_description_can_be_read_as_a_page_that_loads_nothing_from_elsewhere(app: TestApp) {
        let reply = app.visitor().get("/api").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(reply.header("content-security-policy").contains("default-src 'none'"));
        let page = reply.body;
        assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("http://") && !page.contains("https://"), "{page}");
        for there in ["POST /api/rooms/{slug}/messages", "<code>retry_after_ms</code>", "href=\"/api/openapi.json\"", "id=\"Room\"", "href=\"#Room\""] {
            assert!(page.contains(there), "{there}");
        }
        let ids: Vec<_> = page.split("id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        for link in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(ids.contains(&link), "the page has a place for {link}");
        }
    }
}
