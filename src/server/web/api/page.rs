//! `/api`: the description as a page, and `/api/openapi.json`: as it is. The page is made of the document alone, and loads nothing
//! but the server's own stylesheet.

use std::fmt::{self, Write};

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use serde_json::Value;
use utoipa::openapi::OpenApi;

use crate::server::web::App;

/// Both are made once, when the server starts.
pub fn router(description: &OpenApi, assets: &str) -> Router<App> {
    let document = serde_json::to_value(description).unwrap_or_default();
    let page = Bytes::from(Page { document: &document, assets }.to_string());
    let json = Bytes::from(serde_json::to_vec(description).unwrap_or_default());
    let answer = |kind: &'static str, body: Bytes| {
        get(move || async move { (([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")]), body).into_response() })
    };
    Router::new()
        .route("/api", answer("text/html; charset=utf-8", page))
        .route("/api/openapi.json", answer("application/json", json))
}

struct Page<'a> {
    document: &'a Value,
    assets: &'a str,
}

/// A text that stands in HTML as itself.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A text with `code` in it.
struct Prose<'a>(&'a str);

impl fmt::Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, part) in self.0.split('`').enumerate() {
            if n % 2 == 1 { write!(f, "<code>{}</code>", Plain(part))? } else { write!(f, "{}", Plain(part))? }
        }
        Ok(())
    }
}

/// What a schema asks for, in a word: a type, a list of one, or another schema by its name.
struct Kind<'a>(&'a Value);

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(schema) = self;
        if let Some(name) = text(schema, "$ref").and_then(|path| path.rsplit('/').next()) {
            return write!(f, "<a href=\"#{0}\">{0}</a>", Plain(name));
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return alternatives(f, values, |f, value| write!(f, "<code>{}</code>", Plain(value.as_str().unwrap_or_default())));
        }
        if let Some(of) = ["oneOf", "anyOf"].iter().find_map(|how| schema.get(how)).and_then(Value::as_array) {
            return alternatives(f, of, |f, schema| Kind(schema).fmt(f));
        }
        if let Some(of) = schema.get("allOf").and_then(Value::as_array) {
            for (n, schema) in of.iter().enumerate() {
                write!(f, "{}{}", if n > 0 { " with " } else { "" }, Kind(schema))?;
            }
            return Ok(());
        }
        if let Some(items) = schema.get("items") {
            return write!(f, "list of {}", Kind(items));
        }
        match schema.get("type") {
            Some(Value::Array(kinds)) => alternatives(f, kinds, |f, kind| f.write_str(kind.as_str().unwrap_or_default())),
            Some(kind) => {
                f.write_str(text(schema, "format").filter(|format| *format == "uuid").or(kind.as_str()).unwrap_or_default())
            }
            None => f.write_str("anything"),
        }
    }
}

fn alternatives(
    f: &mut fmt::Formatter<'_>,
    of: &[Value],
    each: impl Fn(&mut fmt::Formatter<'_>, &Value) -> fmt::Result,
) -> fmt::Result {
    for (n, one) in of.iter().enumerate() {
        f.write_str(if n > 0 { " or " } else { "" })?;
        each(f, one)?;
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn entries<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn prose(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    for paragraph in text(value, "description").unwrap_or_default().split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        write!(f, "<p>{}</p>", Prose(paragraph))?;
    }
    Ok(())
}

impl Page<'_> {
    fn operation(&self, f: &mut fmt::Formatter<'_>, method: &str, path: &str, operation: &Value) -> fmt::Result {
        let (method, summary) = (method.to_uppercase(), text(operation, "summary").unwrap_or_default());
        let id = Plain(text(operation, "operationId").unwrap_or_default());
        write!(f, "<section id=\"{id}\"><h3>{}</h3><p><code>{method} {}</code></p>", Plain(summary), Plain(path))?;
        prose(f, operation)?;
        f.write_str("<dl>")?;
        for parameter in items(operation, "parameters") {
            let name = Plain(text(parameter, "name").unwrap_or_default());
            let schema = parameter.get("schema").unwrap_or(&Value::Null);
            write!(
                f,
                "<dt><code>{name}</code> {}</dt><dd>{}</dd>",
                Kind(schema),
                Prose(text(parameter, "description").unwrap_or_default())
            )?;
        }
        if let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") {
            write!(f, "<dt>Body</dt><dd>{}</dd>", Kind(body))?;
        }
        for (status, response) in entries(operation, "responses") {
            let shared = text(response, "$ref").and_then(|path| self.document.pointer(path.trim_start_matches('#')));
            let response = shared.unwrap_or(response);
            write!(f, "<dt>{}</dt><dd>{}", Plain(status), Prose(text(response, "description").unwrap_or_default()))?;
            if let Some(schema) = entries(response, "content").next().and_then(|(_, content)| content.get("schema")) {
                write!(f, ": {}", Kind(schema))?;
            }
            f.write_str("</dd>")?;
        }
        f.write_str("</dl></section>")
    }

    fn schema(f: &mut fmt::Formatter<'_>, name: &str, schema: &Value) -> fmt::Result {
        write!(f, "<section id=\"{0}\"><h3>{0}</h3>", Plain(name))?;
        prose(f, schema)?;
        let parts = || std::iter::once(schema).chain(items(schema, "allOf"));
        if parts().all(|part| part.get("properties").is_none()) {
            return write!(f, "<p>{}</p></section>", Kind(schema));
        }
        f.write_str("<dl>")?;
        for inherited in items(schema, "allOf").filter(|part| part.get("$ref").is_some()) {
            write!(f, "<dt>All of</dt><dd>{}</dd>", Kind(inherited))?;
        }
        for part in parts() {
            let required = |name: &str| items(part, "required").any(|required| required == name);
            for (name, property) in entries(part, "properties") {
                let may = if required(name) { "" } else { ", may be absent" };
                write!(f, "<dt><code>{}</code> {}{may}</dt>", Plain(name), Kind(property))?;
                write!(f, "<dd>{}</dd>", Prose(text(property, "description").unwrap_or_default()))?;
            }
        }
        f.write_str("</dl></section>")
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.document.get("info").unwrap_or(&Value::Null);
        let title = Plain(text(info, "title").unwrap_or_default());
        write!(
            f,
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
             <link rel=\"icon\" href=\"/favicon.svg\" type=\"image/svg+xml\"><link rel=\"stylesheet\" href=\"{}/pkg/snug.css\"></head>\
             <body><main class=\"described\"><h1>{title}</h1>",
            Plain(self.assets)
        )?;
        prose(f, info)?;
        f.write_str("<p>The same for programs: <a href=\"/api/openapi.json\">OpenAPI 3.1</a>.</p>")?;
        for tag in items(self.document, "tags") {
            let name = text(tag, "name").unwrap_or_default();
            write!(f, "<h2>{}</h2>", Plain(name))?;
            for (path, methods) in entries(self.document, "paths") {
                for (method, operation) in methods.as_object().into_iter().flatten() {
                    if items(operation, "tags").any(|tag| tag == name) {
                        self.operation(f, method, path, operation)?;
                    }
                }
            }
        }
        f.write_str("<h2>What goes over the wire</h2>")?;
        for (name, schema) in self.document.get("components").into_iter().flat_map(|components| entries(components, "schemas")) {
            Self::schema(f, name, schema)?;
        }
        f.write_str("</main></body></html>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text() {
        assert_eq!(Prose("a <b> & `\"c\"`").to_string(), "a &lt;b&gt; &amp; <code>&quot;c&quot;</code>");
    }
}
