//! What the handlers say of themselves, made whole: an OpenAPI 3.1 document.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};

use super::problem::Problem;

/// The name of the way in which a program says who it is.
const SCHEME: &str = "token";

/// What the document says of the API as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Snug's API",
        description = "Everything that people do on pages, for programs: JSON over HTTP, and a WebSocket for what happens live.\n\n\
            Make an account with `POST /api/auth/register`, or log in with `POST /api/auth/login`, and send the token that comes back in \
            the header `Authorization: Bearer …`. It is good for 24 hours, or until its login is ended. Cookies count for nothing here.\n\n\
            `GET /ws` with the same header is the socket: `/ws?room=general` is in that room at once, a line of text is a message to \
            it, and everything that happens comes as JSON. Clients that cannot set headers put a ticket into the address.\n\n\
            Moments are whole microseconds since 1970, in UTC. A place in a room's log (`seq`) is 1, 2, 3, … without a gap.\n\n\
            Who asks too fast is answered with 429 and `Retry-After`; `RateLimit` says how much is left of `RateLimit-Policy`.",
    ),
    tags(
        (name = "Accounts", description = "Who one is"),
        (name = "Rooms", description = "Where people are"),
        (name = "Messages", description = "What they say"),
    ),
    components(schemas(Problem)),
)]
pub struct Description;

/// Refusals that several operations share: a name, a status, and the codes that it has.
const SHARED: [(&str, &str, &str); 9] = [
    ("BadRequest", "400", "`bad_request`: a body or a parameter that is not what is asked for; `detail` says where"),
    ("LogIn", "401", "`log_in`: no token, or one that is over or whose login has ended"),
    ("CrossSite", "403", "`cross_site`: a browser says that it comes from an origin that the server's settings do not name"),
    ("NoRoom", "404", "`no_room`: there is none at this slug, or none that one may see"),
    ("Timeout", "408", "`timeout`: the body did not come in time"),
    ("TooLarge", "413", "`too_large`: a body larger than the server takes"),
    ("NoJson", "415", "`unsupported_media_type`: a body that does not say that it is JSON"),
    (
        "TooFast",
        "429",
        "`too_fast`: too many requests, messages, rooms or wrong passwords in a short time; `too_many`: as many as the server allows",
    ),
    ("Unavailable", "503", "`unavailable`, `busy`: try again in a moment; `full`: the server's disk is, so it keeps nothing new"),
];

/// Adds the operations of `guarded`, which want a token, and to all of them what each may refuse.
pub fn complete(description: &mut openapi::OpenApi, mut guarded: openapi::OpenApi) {
    operations(&mut guarded, |path, _, operation| {
        operation.security = Some(vec![SecurityRequirement::new(SCHEME, [] as [&str; 0])]);
        refuses(operation, &["LogIn"]);
        if path.contains("{slug}") {
            refuses(operation, &["NoRoom"]);
        }
    });
    description.merge(guarded);
    operations(description, |_, writes, operation| {
        refuses(operation, &["TooFast", "Unavailable"]);
        if writes {
            refuses(operation, &["CrossSite"]);
        }
        if operation.request_body.is_some() {
            refuses(operation, &["BadRequest", "Timeout", "TooLarge", "NoJson"]);
        } else if operation.parameters.is_some() {
            refuses(operation, &["BadRequest"]);
        }
    });
    let components = description.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.security_schemes.insert(SCHEME.to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    for (name, _, what) in SHARED {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(what).content("application/problem+json", problem).build();
        components.responses.insert(name.to_owned(), RefOr::T(response));
    }
}

/// Adds refusals to an operation which has no words of its own for that status.
fn refuses(operation: &mut Operation, names: &[&str]) {
    for (name, status, _) in SHARED.iter().filter(|(name, ..)| names.contains(name)) {
        let shared = || RefOr::Ref(Ref::from_response_name(*name));
        operation.responses.responses.entry((*status).to_owned()).or_insert_with(shared);
    }
}

/// Changes each operation; `change` is told its path, and whether it is one that writes.
fn operations(description: &mut openapi::OpenApi, mut change: impl FnMut(&str, bool, &mut Operation)) {
    for (path, PathItem { get, post, .. }) in &mut description.paths.paths {
        get.iter_mut().for_each(|operation| change(path, false, operation));
        post.iter_mut().for_each(|operation| change(path, true, operation));
    }
}
