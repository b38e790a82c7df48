//! owners.rs for models: nobody watches (mod.rs).

use std::panic::Location;

pub(super) fn taken(_lock: usize, _site: &'static Location<'static>) {}

pub(super) fn given(_lock: usize) -> Option<&'static Location<'static>> {
    None
}

pub(super) fn wait(_lock: usize, _site: &'static Location<'static>, wait: impl FnOnce()) {
    wait();
}
