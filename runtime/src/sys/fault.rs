//! The fault handler on Unix: tells an overflowed goroutine stack from every other fault.
//!
//! A goroutine that runs into its guard page gets SIGSEGV (SIGBUS on some systems). It has no stack left, so the handler
//! runs on the thread's alternate stack. It asks a function of the layer above whether the address lies in a guard; that
//! function prints the report and does not return. Any other fault goes to the handler that was there before, Rust's own
//! included, which reports a plain thread's overflow.

use super::mem;
use super::regs::Regs;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Called in the handler with the faulting address and the registers at the fault: reports and aborts where the fault is
/// one of ours, else returns.
pub(crate) type OnFault = fn(addr: usize, regs: Regs);

static ON_FAULT: AtomicUsize = AtomicUsize::new(0);

struct Previous(UnsafeCell<[MaybeUninit<libc::sigaction>; 2]>);
// SAFETY: written by `install` before the handler can run, read only afterwards.
unsafe impl Sync for Previous {}
static PREVIOUS: Previous = Previous(UnsafeCell::new([MaybeUninit::uninit(); 2]));

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Installs the handler, once for the process.
pub(crate) fn install(on_fault: OnFault) {
    // Release: pairs with the Acquire in `handler`.
    ON_FAULT.store(on_fault as usize, Ordering::Release);
    for (i, &signal) in SIGNALS.iter().enumerate() {
        // SAFETY: an all-zero sigaction is valid; the handler has the signature that SA_SIGINFO asks for; PREVIOUS is
        // written before the new action can deliver (read the old one first), and by nobody else.
        unsafe {
            let old = (*PREVIOUS.0.get())[i].as_mut_ptr();
            libc::sigaction(signal, std::ptr::null(), old);
            let mut new: libc::sigaction = std::mem::zeroed();
            new.sa_sigaction = handler as *const () as usize;
            new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigemptyset(&mut new.sa_mask);
            libc::sigaction(signal, &new, std::ptr::null_mut());
        }
    }
}

extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // Acquire: pairs with `install`.
    let f = ON_FAULT.load(Ordering::Acquire);
    // SAFETY: only `install` writes it, from an OnFault.
    let on_fault = unsafe { std::mem::transmute::<usize, OnFault>(f) };
    // SAFETY: the kernel gives a valid siginfo with SA_SIGINFO, and si_addr is set for these two signals.
    on_fault(unsafe { (*info).si_addr() } as usize, unsafe { Regs::of_signal(context) });
    let i = SIGNALS.iter().position(|&s| s == signal).unwrap_or(0);
    // SAFETY: PREVIOUS was filled before this handler was installed.
    let old = unsafe { (*PREVIOUS.0.get())[i].assume_init_ref() };
    match old.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // Let the instruction fault again, now to its default end.
            // SAFETY: restoring an action that was valid before.
            unsafe { libc::sigaction(signal, old, std::ptr::null_mut()) };
        }
        f if old.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: installed with SA_SIGINFO, so it has this signature.
            let f: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(f) };
            f(signal, info, context);
        }
        f => {
            // SAFETY: installed without SA_SIGINFO, so it has this signature.
            let f: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(f) };
            f(signal);
        }
    }
}

/// Gives the calling thread an alternate stack for the handler, instead of the small one that Rust's threads have: the
/// report of an overflow looks up names and lines on it. `old`: what an earlier thread got and does not need any more.
/// Gives back what the next thread may get.
pub(crate) fn thread_init(old: Option<AltStack>) -> Option<AltStack> {
    let stack = old.or_else(AltStack::new)?;
    let new = libc::stack_t { ss_sp: stack.0 as *mut _, ss_flags: 0, ss_size: AltStack::SIZE };
    // SAFETY: memory of our own, which nobody frees while the thread lives. Rust's own stays as it is, unused, until its
    // thread ends.
    unsafe { libc::sigaltstack(&new, std::ptr::null_mut()) };
    Some(stack)
}

/// The memory of an alternate stack. Never freed: handed on from thread to thread.
#[derive(Clone, Copy)]
pub(crate) struct AltStack(usize);

impl AltStack {
    const SIZE: usize = 256 << 10;

    fn new() -> Option<AltStack> {
        let addr = mem::reserve(Self::SIZE).ok()?;
        // SAFETY: the whole reservation. It costs memory only where it is touched.
        unsafe { mem::commit(super::faults::Point::SignalStack, addr, Self::SIZE) }.ok()?;
        Some(AltStack(addr))
    }
}

/// Lets the process abort in a few seconds whatever this thread does: the report's last part may need a lock that the
/// interrupted code holds. From a signal handler.
pub(crate) fn abort_soon() {
    extern "C" fn abort(_: libc::c_int) {
        // SAFETY: async-signal-safe.
        unsafe { libc::abort() }
    }
    // SAFETY: an all-zero sigaction is valid; the handler has the signature of one without SA_SIGINFO; all calls are
    // async-signal-safe. The signal goes to any thread that does not block it.
    unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = abort as *const () as usize;
        libc::sigaction(libc::SIGALRM, &new, std::ptr::null_mut());
        libc::alarm(5);
    }
}

/// Text to stderr from a signal handler: fixed memory, no lock, no allocation.
pub(crate) struct RawErr {
    buf: [u8; 512],
    len: usize,
}

impl RawErr {
    pub(crate) fn new() -> RawErr {
        RawErr { buf: [0; 512], len: 0 }
    }

    /// Writes what was collected to descriptor 2.
    pub(crate) fn flush(&mut self) {
        // SAFETY: write(2) reads the initialised part of the buffer; it is async-signal-safe.
        unsafe { libc::write(2, self.buf.as_ptr().cast(), self.len) };
        self.len = 0;
    }
}

impl std::fmt::Write for RawErr {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let mut bytes = s.as_bytes();
        while !bytes.is_empty() {
            if self.len == self.buf.len() {
                self.flush();
            }
            let n = bytes.len().min(self.buf.len() - self.len);
            self.buf[self.len..self.len + n].copy_from_slice(&bytes[..n]);
            self.len += n;
            bytes = &bytes[n..];
        }
        Ok(())
    }
}
