//! The page in a real browser: two of them talk to each other, and come back after the server was away.

use crate::browser::{Browser, Page};
use crate::process::{Chat, Dir, set_up};
use crate::programs::tool;
use std::process::Command;

/// What the page shows of what was said: who and what.
fn shown(page: &mut Page) -> Vec<String> {
    let js = "[...document.querySelectorAll('#log .said')].map(li => \
              li.querySelector('b').textContent + ': ' + li.querySelector('span').textContent)";
    serde_json::from_value(page.js(js)).unwrap()
}

fn says(n: usize) -> String {
    format!("document.querySelectorAll('#log .said').length === {n}")
}

#[test]
fn two_pages_talk_to_each_other() {
    let Some(chromium) = tool("chromium") else { return };
    let dir = Dir::new();
    let chat = Chat::start(&dir, &[]);
    let browser = Browser::start(&chromium);
    let url = format!("http://{}/", chat.addr);
    // One comes by a link, one fills the form in.
    let mut ann = browser.page(&format!("{url}?room=caf%C3%A9&name=ann"));
    ann.until("document.getElementById('state')?.textContent === '1 here'");
    let mut bob = browser.page(&url);
    bob.until("document.activeElement?.id === 'name'");
    bob.js("document.getElementById('room').value = 'café'");
    bob.types("name", "bob & <b>co</b>");
    for page in [&mut ann, &mut bob] {
        page.until("document.getElementById('state').textContent === '2 here'");
    }
    ann.types("text", "hello bob");
    bob.until(&says(1));
    bob.types("text", "<img src=x onerror=alert(1)> is no picture");
    ann.until(&says(2));
    ann.types("text", "grüße 😀");
    let expected =
        ["ann: hello bob", "bob & <b>co</b>: <img src=x onerror=alert(1)> is no picture", "ann: grüße 😀"];
    for page in [&mut ann, &mut bob] {
        page.until(&says(3));
        assert_eq!(shown(page), expected);
        assert_eq!(page.js("document.querySelectorAll('#log img').length"), 0);
        assert!(page.failures.is_empty(), "{:?}", page.failures);
    }
    // The server goes away and comes back on the same port: so do they, and nothing is shown twice.
    let addr = chat.addr.to_string();
    assert_eq!(chat.stop().code(), Some(0), "{}", dir.said());
    for page in [&mut ann, &mut bob] {
        page.until("document.body.innerText.includes('the connection has ended: 1001 the server ends')");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    set_up(&mut command, &dir, &["--addr", &addr]);
    let chat = Chat::from(&dir, command);
    for page in [&mut ann, &mut bob] {
        page.until("document.getElementById('state').textContent === '2 here'");
    }
    bob.types("text", "back again");
    for page in [&mut ann, &mut bob] {
        page.until(&says(4));
        assert_eq!(shown(page)[3], "bob & <b>co</b>: back again");
    }
    // Who reads the page again has the history.
    ann.call("Page.reload", serde_json::json!({}));
    ann.until(&says(4));
    bob.until("document.body.innerText.includes('ann has left')");
    drop(chat);
}
