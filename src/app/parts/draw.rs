//! What changes by itself, as text.
//!
//! A piece of an island that changes is written by one function of what is known ([`super::markup`]): by the server into the
//! page, and in the browser, by [`draw`], over what stands there. A `view!` that changes would be compiled for each shape that
//! it can take: 1.5 to 3 kB of WASM a piece, where text takes some hundred bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, Node};

thread_local! {
    /// What was drawn last, by the id of the element that it is in.
    static DRAWN: RefCell<BTreeMap<&'static str, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Runs `draw` whenever something changes that it has read. It is told whether it is the first time. In the browser only.
pub fn follow(draw: impl FnMut(bool) + 'static) {
    // One effect's worth of code, whatever is drawn.
    fn follow(mut draw: Box<dyn FnMut(bool)>) {
        Effect::new(move |before: Option<()>| draw(before.is_none()));
    }
    follow(Box::new(draw));
}

/// The element of the page with this id.
#[must_use]
pub fn element(id: &str) -> Option<HtmlElement> {
    document().get_element_by_id(id)?.dyn_into().ok()
}

/// Makes `html` the inside of the element `id`. What is there and stays is not replaced: whoever has the focus in it, or the
/// pointer on it, keeps it there. True when something changed.
pub fn draw(id: &'static str, html: String) -> bool {
    if DRAWN.with_borrow(|drawn| drawn.get(id) == Some(&html)) {
        return false;
    }
    let Some(there) = element(id) else { return false };
    let wanted = there.clone_node().ok().and_then(|node| node.dyn_into::<Element>().ok());
    let Some(wanted) = wanted else { return false };
    wanted.set_inner_html(&html);
    become_like(&there, &wanted);
    DRAWN.with_borrow_mut(|drawn| drawn.insert(id, html));
    true
}

/// Gives `there` the children of `wanted`. A child that says what it is, by `data-key`, is known by that; another one by its
/// place and kind.
fn become_like(there: &Node, wanted: &Node) {
    let mut at = there.first_child();
    let mut next = wanted.first_child();
    while let Some(child) = next {
        next = child.next_sibling();
        match counterpart(at.as_ref(), &child) {
            Some(same) => {
                if at.as_ref() == Some(&same) {
                    at = same.next_sibling();
                } else {
                    let _ = there.insert_before(&same, at.as_ref());
                }
                match (same.dyn_ref::<Element>(), child.dyn_ref::<Element>()) {
                    (Some(same), Some(child)) => {
                        take_attributes(same, child);
                        become_like(same, child);
                    }
                    _ if same.node_value() != child.node_value() => same.set_node_value(child.node_value().as_deref()),
                    _ => {}
                }
            }
            None => {
                let _ = there.insert_before(&child, at.as_ref());
            }
        }
    }
    while let Some(gone) = at {
        at = gone.next_sibling();
        let _ = there.remove_child(&gone);
    }
}

/// Which of the nodes from `at` on is what `child` is.
fn counterpart(at: Option<&Node>, child: &Node) -> Option<Node> {
    let name = key(child);
    let mut node = at.cloned();
    while let Some(there) = node {
        let same = there.node_name() == child.node_name() && key(&there) == name;
        if same || name.is_none() {
            return same.then_some(there);
        }
        node = there.next_sibling();
    }
    None
}

fn key(node: &Node) -> Option<String> {
    node.dyn_ref::<Element>()?.get_attribute("data-key")
}

/// Gives `there` the attributes of `wanted`; but what is hidden or opened is so by a reader's doing.
fn take_attributes(there: &Element, wanted: &Element) {
    for name in names(there).into_iter().filter(|name| name != "hidden" && name != "open") {
        if !wanted.has_attribute(&name) {
            let _ = there.remove_attribute(&name);
        }
    }
    for name in names(wanted) {
        let value = wanted.get_attribute(&name).unwrap_or_default();
        if there.get_attribute(&name).as_ref() != Some(&value) {
            let _ = there.set_attribute(&name, &value);
        }
    }
}

fn names(element: &Element) -> Vec<String> {
    element.get_attribute_names().iter().filter_map(|name| name.as_string()).collect()
}
