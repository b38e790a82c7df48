//! Why a goroutine waits, in Go's words (Go: runtime/runtime2.go, `waitReasonStrings`).

use std::fmt;

/// Why a goroutine is parked. Shown by its `Display` in stack dumps and in the deadlock report.
///
/// ```
/// use gosched_runtime::park::WaitReason;
/// assert_eq!(WaitReason::ChanSend.to_string(), "chan send");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum WaitReason {
    /// Not parked.
    #[default]
    Zero,
    /// `Chan::send`, no receiver and no room.
    ChanSend,
    /// `Chan::recv`, no value.
    ChanReceive,
    /// A send on the nil channel: for ever.
    ChanSendNilChan,
    /// A receive on the nil channel: for ever.
    ChanReceiveNilChan,
    /// `select!` with cases, none of them ready.
    Select,
    /// `select! {}`: for ever.
    SelectNoCases,
    /// `sleep`.
    Sleep,
    /// A socket is not ready.
    IoWait,
    /// `sync::Mutex::lock`.
    SyncMutexLock,
    /// `sync::RwLock::read`.
    SyncRWMutexRLock,
    /// `sync::RwLock::write`.
    SyncRWMutexLock,
    /// `sync::Condvar::wait`.
    SyncCondWait,
    /// `sync::WaitGroup::wait`.
    SyncWaitGroupWait,
    /// A semaphore has no unit left.
    Semacquire,
    /// `JoinHandle::join`.
    Join,
    /// In a call that was announced as blocking.
    Syscall,
    /// A primitive made outside this project.
    Other,
}

impl WaitReason {
    /// How many there are.
    pub(crate) const COUNT: usize = 18;

    /// Go's words for all of them, by their numbers.
    pub(crate) const WORDS: [&'static str; WaitReason::COUNT] = {
        let (mut words, mut i) = ([""; WaitReason::COUNT], 0);
        while i < words.len() {
            words[i] = WaitReason::ALL[i].as_str();
            i += 1;
        }
        words
    };

    const ALL: [WaitReason; WaitReason::COUNT] = [
        WaitReason::Zero,
        WaitReason::ChanSend,
        WaitReason::ChanReceive,
        WaitReason::ChanSendNilChan,
        WaitReason::ChanReceiveNilChan,
        WaitReason::Select,
        WaitReason::SelectNoCases,
        WaitReason::Sleep,
        WaitReason::IoWait,
        WaitReason::SyncMutexLock,
        WaitReason::SyncRWMutexRLock,
        WaitReason::SyncRWMutexLock,
        WaitReason::SyncCondWait,
        WaitReason::SyncWaitGroupWait,
        WaitReason::Semacquire,
        WaitReason::Join,
        WaitReason::Syscall,
        WaitReason::Other,
    ];

    /// The inverse of `as u8`.
    pub(crate) fn of(v: u8) -> WaitReason {
        WaitReason::ALL.get(usize::from(v)).copied().unwrap_or(WaitReason::Other)
    }

    /// Go's words for it.
    ///
    /// ```
    /// use gosched_runtime::park::WaitReason;
    /// assert_eq!(WaitReason::ChanReceive.as_str(), "chan receive");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            WaitReason::Zero => "",
            WaitReason::ChanSend => "chan send",
            WaitReason::ChanReceive => "chan receive",
            WaitReason::ChanSendNilChan => "chan send (nil chan)",
            WaitReason::ChanReceiveNilChan => "chan receive (nil chan)",
            WaitReason::Select => "select",
            WaitReason::SelectNoCases => "select (no cases)",
            WaitReason::Sleep => "sleep",
            WaitReason::IoWait => "IO wait",
            WaitReason::SyncMutexLock => "sync.Mutex.Lock",
            WaitReason::SyncRWMutexRLock => "sync.RWMutex.RLock",
            WaitReason::SyncRWMutexLock => "sync.RWMutex.Lock",
            WaitReason::SyncCondWait => "sync.Cond.Wait",
            WaitReason::SyncWaitGroupWait => "sync.WaitGroup.Wait",
            WaitReason::Semacquire => "semacquire",
            WaitReason::Join => "join",
            WaitReason::Syscall => "syscall",
            WaitReason::Other => "parked",
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_names_the_reason() {
        for (i, r) in WaitReason::ALL.into_iter().enumerate() {
            assert_eq!((r as usize, WaitReason::of(i as u8)), (i, r));
        }
    }
}
