//! Where a page leads.

use super::{Fetched, Found, Outcome};
use html5gum::{DefaultEmitter, Token, Tokenizer};
use std::collections::BTreeSet;
use url::Url;

/// The address without what makes no difference to a server: the fragment, an empty query.
pub fn normal(mut url: Url) -> Url {
    url.set_fragment(None);
    if url.query() == Some("") {
        url.set_query(None);
    }
    url
}

/// Looks through a page.
pub fn find(page: Fetched) -> Found {
    let (mut links, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
    let mut add = |base: &Url, link: &str| {
        // What is no address leads nowhere.
        let Ok(to) = base.join(link).map(normal) else { return };
        if to.origin() == page.url.origin() {
            links.insert(to);
        } else if matches!(to.scheme(), "http" | "https") {
            elsewhere.insert(to);
        }
    };
    if let Some(to) = &page.location {
        add(&page.url, to);
    }
    if page.outcome == Outcome::Page {
        for (base, link) in hrefs(&page.url, &page.body) {
            add(&base, &link);
        }
    }
    let elsewhere = elsewhere.len();
    Found { url: page.url, outcome: page.outcome, links, elsewhere }
}

/// The `href`s of all `a` and `area`, each with what it is relative to: the page, or its first `base`.
fn hrefs(url: &Url, html: &[u8]) -> Vec<(Url, String)> {
    let mut emitter = DefaultEmitter::<()>::default();
    emitter.naively_switch_states(true); // there are no tags in a script
    let (mut base, mut found) = (None, Vec::new());
    for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
        let Token::StartTag(tag) = token else { continue };
        let Some(href) = tag.attributes.get(&b"href"[..]) else { continue };
        let href = String::from_utf8_lossy(href);
        match &tag.name[..] {
            b"base" if base.is_none() => base = url.join(&href).ok(),
            b"a" | b"area" => found.push((base.as_ref().unwrap_or(url).clone(), href.into_owned())),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(html: &str) -> (Vec<String>, usize) {
        let page = Fetched {
            url: Url::parse("http://h:1/d/page").unwrap(),
            outcome: Outcome::Page,
            location: None,
            body: html.into(),
        };
        let found = find(page);
        (found.links.iter().map(|u| u[url::Position::BeforePath..].to_owned()).collect(), found.elsewhere)
    }

    #[test]
    fn links_of_all_ways_of_writing() {
        let (links, elsewhere) = found(
            "<a href=x><A HREF='/y#f'><a href=\"http://h:1/z?\">&amp;<a href=?a=1&amp;b=2><area href=../up>\
             <a href=x#again><a name=href><a href='http://h/other-port'><a href=https://h:1/><a href=mailto:m@h>\
             <a href='http://['><!-- <a href=comment> --><script>'<a href=script>'</script><a href=",
        );
        assert_eq!(links, ["/d/page?a=1&b=2", "/d/x", "/up", "/y", "/z"]);
        assert_eq!(elsewhere, 2);
    }

    #[test]
    fn a_base_counts_from_where_it_stands() {
        assert_eq!(found("<a href=x><base href=/b/><base href=/c/><a href=x>").0, ["/b/x", "/d/x"]);
    }

    #[test]
    fn no_html_at_all() {
        assert_eq!(found("\0\u{fffd}<<<a href>&#xFFFFFFFF;").0, ["/d/page"]);
        assert_eq!(found("").0, [""; 0]);
    }
}
