//! The registers from which a stack can be unwound: where the code is, where its stack ends, and the frame pointer.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A place in some code, with its stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Regs {
    pub(crate) pc: usize,
    pub(crate) sp: usize,
    pub(crate) fp: usize,
}

impl Regs {
    /// Nowhere.
    pub(crate) const NONE: Regs = Regs { pc: 0, sp: 0, fp: 0 };

    /// Here. The stack can be unwound from it as long as the caller's frame lasts.
    #[inline(always)]
    pub(crate) fn here() -> Regs {
        #[allow(unused_mut)]
        let mut r = Regs::NONE;
        // SAFETY: copies three registers, all in one piece of code, so they fit together.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            std::arch::asm!("lea {pc}, [rip]", "mov {sp}, rsp", "mov {fp}, rbp",
                pc = out(reg) r.pc, sp = out(reg) r.sp, fp = out(reg) r.fp,
                options(nomem, nostack, preserves_flags))
        };
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            std::arch::asm!("adr {pc}, .", "mov {sp}, sp", "mov {fp}, x29",
                pc = out(reg) r.pc, sp = out(reg) r.sp, fp = out(reg) r.fp,
                options(nomem, nostack, preserves_flags))
        };
        r
    }

    /// Of the code that a signal interrupted.
    ///
    /// # Safety
    /// `context` is the third argument of a handler that was installed with SA_SIGINFO.
    pub(crate) unsafe fn of_signal(context: *mut libc::c_void) -> Regs {
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        {
            // SAFETY: the caller's promise: it points to a ucontext_t.
            let g = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
            let reg = |r: libc::c_int| g[r as usize] as usize;
            Regs { pc: reg(libc::REG_RIP), sp: reg(libc::REG_RSP), fp: reg(libc::REG_RBP) }
        }
        #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
        {
            // SAFETY: the caller's promise: it points to a ucontext_t.
            let m = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
            Regs { pc: m.pc as usize, sp: m.sp as usize, fp: m.regs[29] as usize }
        }
        #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
        {
            let _ = context;
            Regs::NONE
        }
    }
}

/// A place that one writes and others may read meanwhile, as a hint.
pub(crate) struct SharedRegs {
    pub(crate) pc: AtomicUsize,
    pub(crate) sp: AtomicUsize,
    pub(crate) fp: AtomicUsize,
}

impl SharedRegs {
    pub(crate) fn new() -> SharedRegs {
        SharedRegs { pc: AtomicUsize::new(0), sp: AtomicUsize::new(0), fp: AtomicUsize::new(0) }
    }

    /// Relaxed: whoever must see it whole is ordered after this by other means.
    #[inline(always)]
    pub(crate) fn set(&self, r: Regs) {
        self.pc.store(r.pc, Ordering::Relaxed);
        self.sp.store(r.sp, Ordering::Relaxed);
        self.fp.store(r.fp, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Regs {
        let word = |w: &AtomicUsize| w.load(Ordering::Relaxed);
        Regs { pc: word(&self.pc), sp: word(&self.sp), fp: word(&self.fp) }
    }
}
