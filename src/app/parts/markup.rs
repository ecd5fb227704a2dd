//! Markup as text: what is literal is markup, and whatever else comes in is not.

use super::text::push_escaped;

/// A piece of a page in the making.
#[derive(Debug, Default)]
pub struct Markup(String);

impl Markup {
    /// Markup of the program's own: no text of anybody's can come in here.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, between tags or within the quotes of an attribute.
    pub fn text(&mut self, text: &str) -> &mut Self {
        push_escaped(&mut self.0, text);
        self
    }

    /// The inside of a row, which is laid out already.
    pub fn laid_out(&mut self, row: &super::rows::Row) -> &mut Self {
        self.0.push_str(&row.html);
        self
    }

    #[must_use]
    pub fn done(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let html = Markup::default().raw("<a title=\"").text("\"><script>'&").raw("\">").text("<b>").raw("</a>").done();
        assert_eq!(html, "<a title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\">&lt;b&gt;</a>");
    }
}
