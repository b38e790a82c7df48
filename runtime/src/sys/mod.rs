//! The platform, behind one face. Nothing outside this folder names an operating system.
//!
//! ```text
//!   futex       Futex: a word that threads can sleep on                    linux | portable (and loom)
//!   lock        channels' lock where that futex is not (else rawlock.rs)  – | portable
//!   mem         reserve, commit, guard and discard address space           unix (guards: linux >= 6.13, else mprotect)
//!   barrier     membarrier: a fence on every thread, paid by one           linux | none (then every thread pays)
//!   cpu         how many CPUs, the cgroup's quota, threads of the process  linux | portable
//!               a hint to its cache                                        x86-64, aarch64 | none
//!   clock       the kernel's clocks, the coarse one too                    linux | none
//!   faults      calls that fail on demand, for tests
//!   thread      a thread of the scheduler
//!   fault       the SIGSEGV handler and the stack it runs on               unix
//!   quit        the SIGQUIT handler                                      unix
//!   regs        the registers to unwind a stack from                       x86-64, aarch64 | none
//!   modules     the loaded objects and their unwind tables                 ELF | none
//! ```
//!
//! Each file offers the same names whatever the platform; the choice is made here, once. Windows is not written yet: it
//! needs `mem` (VirtualAlloc), `fault` (a vectored handler) and corosensei's TEB fields in `stack.rs`.

#[cfg(all(target_os = "linux", not(gosched_loom)))]
#[path = "futex_linux.rs"]
mod futex;
#[cfg(any(not(target_os = "linux"), gosched_loom))]
#[path = "futex_portable.rs"]
mod futex;
pub(crate) use futex::Futex;

#[cfg(not(gosched_loom))]
pub(crate) mod faults;

#[cfg(not(gosched_loom))]
pub(crate) mod mem;

#[cfg(not(gosched_loom))]
pub(crate) mod thread;

#[cfg(all(target_os = "linux", not(gosched_loom)))]
#[path = "barrier_linux.rs"]
pub(crate) mod barrier;
#[cfg(all(not(target_os = "linux"), not(gosched_loom)))]
#[path = "barrier_none.rs"]
pub(crate) mod barrier;

#[cfg(not(gosched_loom))]
pub(crate) mod cpu;

pub(crate) mod clock;

#[cfg(not(gosched_loom))]
pub(crate) mod fault;

#[cfg(not(gosched_loom))]
pub(crate) mod quit;

#[cfg(not(gosched_loom))]
mod regs;
#[cfg(not(gosched_loom))]
pub(crate) use regs::{Regs, SharedRegs};

#[cfg(all(target_os = "linux", target_pointer_width = "64", not(gosched_loom)))]
#[path = "modules_elf.rs"]
pub(crate) mod modules;

/// The stack pointer, near enough: some address in the caller's frame or just below it.
#[cfg(not(gosched_loom))]
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: copies a register.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags))
    };
    // SAFETY: copies a register.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags))
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let here = 0u8;
        sp = std::hint::black_box(&raw const here) as usize;
    }
    sp
}
