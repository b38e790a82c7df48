//! What code is loaded, and where its unwind tables are: on systems with ELF.

use std::ffi::c_void;
use std::ops::Range;

/// A loaded object: the program, or a library.
pub(crate) struct Module {
    /// What is added to the addresses in the file.
    pub(crate) bias: usize,
    /// Its code, and all else that is loaded of it.
    pub(crate) text: Range<usize>,
    /// Unwind tables: `.eh_frame_hdr` and `.eh_frame`. They stay loaded as long as the object is.
    pub(crate) eh_frame_hdr: &'static [u8],
    pub(crate) eh_frame: &'static [u8],
}

/// All objects that are loaded now and have unwind tables.
pub(crate) fn modules() -> Vec<Module> {
    unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, out: *mut c_void) -> libc::c_int {
        // SAFETY: `modules` passes its Vec.
        let out = unsafe { &mut *out.cast::<Vec<Module>>() };
        // SAFETY: the loader passes a valid entry for the time of the call.
        out.extend(unsafe { module(&*info) });
        0
    }
    let mut out: Vec<Module> = Vec::new();
    // SAFETY: `each` has the signature asked for, and gets the Vec that it expects.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut out).cast()) };
    out
}

/// # Safety
/// `info` came from the loader.
unsafe fn module(info: &libc::dl_phdr_info) -> Option<Module> {
    // SAFETY: the loader's own table, as long as it says.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum as usize) };
    let bias = info.dlpi_addr as usize;
    let range = |h: &libc::Elf64_Phdr| {
        let start = bias + h.p_vaddr as usize;
        start..start + h.p_memsz as usize
    };
    let loaded = || headers.iter().filter(|h| h.p_type == libc::PT_LOAD);
    let text = loaded().filter(|h| h.p_flags & libc::PF_X != 0).map(range).reduce(|a, b| {
        a.start.min(b.start)..a.end.max(b.end) //
    })?;
    let hdr = range(headers.iter().find(|h| h.p_type == libc::PT_GNU_EH_FRAME)?);
    // The table's head: version 1, three encodings, then the way to .eh_frame. Every linker writes it as a signed 32-bit
    // distance from that very place (0x1b); another object has no frames here.
    // SAFETY: a segment of a loaded object.
    let eh_frame_hdr = unsafe { std::slice::from_raw_parts(hdr.start as *const u8, hdr.len()) };
    let (&[1, 0x1b, ..], Some(distance)) = (eh_frame_hdr, eh_frame_hdr.get(4..8)) else { return None };
    let distance = i32::from_ne_bytes(distance.try_into().ok()?);
    let start = (hdr.start + 4).checked_add_signed(distance as isize)?;
    // Its length stands nowhere; it ends with a mark, within its segment.
    let end = loaded().map(range).find(|r| r.contains(&start))?.end;
    // SAFETY: within a segment of a loaded object.
    let eh_frame = unsafe { std::slice::from_raw_parts(start as *const u8, end - start) };
    Some(Module { bias, text, eh_frame_hdr, eh_frame })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_function_lies_in_a_module() {
        let here = this_function_lies_in_a_module as fn() as usize;
        assert_eq!(modules().iter().filter(|m| m.text.contains(&here)).count(), 1);
    }
}
