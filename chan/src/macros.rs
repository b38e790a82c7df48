//! `select!` (Go: the `select` statement).
//!
//! The cases are read one by one; each adds to four lists, and what is left to read gets shorter:
//!
//! ```text
//!   recv(c) -> v => arm        lets:  let mut out0 = None;
//!                              exprs: (c).__recv_case(&mut out0),
//!                              names: case0
//!                              arms:  0 => match out0 { v => arm }
//!   send(c, x) => arm          exprs: (c).__send_case(x),       names: case1      arms: 1 => arm
//!   default(d) => arm          exprs: __default([d]),           default: limit    otherwise: arm
//! ```
//! from which comes
//! ```text
//!   {
//!       lets
//!       let chosen = match (exprs) { (mut case0, mut case1, limit,) => { selectgo; finish } };
//!       match chosen { arms, _ => otherwise }
//!   }
//! ```
//! Why so:
//! * One tuple: channels and values are evaluated once, in source order; `?` and `break` in them just leave, and what was
//!   evaluated before is dropped. Temporaries in it live until the end of the `let`, so a case may borrow from one; and
//!   no longer: when an arm begins, every borrow has ended, and the values that were not sent have been dropped.
//! * Method calls find `Chan`, `Sender` and `Receiver` behind a place, a reference or a smart pointer, and move nothing.
//!   A value is a method's argument, so the channel's type shapes it (coercion, `into()`).
//! * Arms are arms of a plain `match` in the caller's scope: `break`, `return`, `?`, moves and late initialisation work.
//! * Names differ by hygiene: each step of the reading is an expansion of its own, so its `out` is not the next one's.
//! * Depth: one expansion per case and two more. With the default recursion limit of 128 a select may have 64 cases.

/// Go's `select`: waits until one of several channel operations can go, and carries it out. Go: runtime/select.go.
///
/// ```text
/// select! {
///     recv(ch) -> pattern => expression,   // the pattern gets an Option<T>: None when ch is closed and drained
///     send(ch, value) => expression,
///     default => expression,               // or: default(duration) => expression
/// }
/// ```
///
/// * Channels and values are evaluated once each, in source order, before any case is chosen. Where several cases can
///   go, one is chosen by lot, each with the same chance. Only the chosen one's value is sent; the others are dropped
///   before the arm begins.
/// * Where no case can go, the goroutine **parks** (a plain thread blocks) until one can; with `default` the select goes
///   there at once instead, with `default(duration)` after that time (a [`Duration`](std::time::Duration), evaluated in
///   its place among the cases).
/// * A channel is a place or a temporary: a [`Chan`](crate::Chan), [`Sender`](crate::Sender),
///   [`Receiver`](crate::Receiver) or a reference to one; it is not moved. An arm may give its channel another value.
/// * A nil channel's case is never chosen. `select! {}` blocks for ever and has the type `!`.
/// * It is an expression, of the type of its arms. `break`, `continue`, `return` and `?` work everywhere in it. A comma
///   after an arm that is a block is optional. At most 64 cases.
///
/// # Panics
/// With `send on closed channel` where a send is chosen whose channel is closed, also while it waits.
///
/// # Examples
/// ```
/// use gosched_chan::{Chan, after, select};
/// use std::time::Duration;
///
/// let (jobs, quit) = (Chan::new(1), Chan::<()>::new(0));
/// jobs.send(20);
/// let answer = select! {
///     recv(jobs) -> job => job.map(|n| n + 1),
///     recv(quit) -> _ => None,
///     recv(after(Duration::from_secs(10))) -> _ => panic!("too slow"),
/// };
/// assert_eq!(answer, Some(21));
///
/// // A poll.
/// let sent = select! { send(quit, ()) => true, default => false };
/// assert!(!sent, "nobody receives");
/// ```
///
/// A closed channel is always ready. Go's idiom to stop listening to it works here too:
/// ```
/// use gosched_chan::{Chan, select};
/// let (mut a, mut b) = (Chan::new(2), Chan::new(2));
/// for n in [1, 2] {
///     a.send(n);
///     b.send(n * 10);
/// }
/// a.close();
/// b.close();
/// let mut sum = 0;
/// while !(a.is_nil() && b.is_nil()) {
///     select! {
///         recv(a) -> v => match v { Some(n) => sum += n, None => a = Chan::nil() },
///         recv(b) -> v => match v { Some(n) => sum += n, None => b = Chan::nil() },
///     }
/// }
/// assert_eq!(sum, 33);
/// ```
#[macro_export]
macro_rules! select {
    () => {
        $crate::__forever()
    };
    ($($cases:tt)+) => {
        $crate::__select!(@read
            [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
             32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63]
            [] [] [] [] [] [] $($cases)+)
    };
}

/// The works of [`select!`]. The lists: indices left, lets, exprs, all names, names of the cases, arms, the default.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // All read.
    (@read $is:tt [$($let:tt)*] [$($expr:tt)*] [$($name:ident)*] [$($case:ident)*] [$($arm:tt)*] []) => {
        $crate::__select!(@emit [$($let)*] [$($expr)*] [$($name)*] [$($case)*] [$($arm)*]
            [$crate::__wait()] [$crate::__no_default()])
    };
    (@read $is:tt [$($let:tt)*] [$($expr:tt)*] [$($name:ident)*] [$($case:ident)*] [$($arm:tt)*]
        [$default:tt $otherwise:tt]) => {
        $crate::__select!(@emit [$($let)*] [$($expr)*] [$($name)*] [$($case)*] [$($arm)*] $default $otherwise)
    };

    // Each kind of case, with: a block and a comma, a block, an expression and a comma, the last expression.
    (@read [$i:tt $($is:tt)*] [$($l:tt)*] [$($e:tt)*] [$($n:tt)*] [$($c:tt)*] [$($a:tt)*] $d:tt
        recv ($ch:expr $(,)?) -> $p:pat => $arm:block , $($rest:tt)*) => {
        $crate::__select!(@read [$($is)*]
            [$($l)* let mut out = ::core::option::Option::None;]
            [$($e)* ($ch).__recv_case(&mut out),]
            [$($n)* case] [$($c)* case] [$($a)* $i => match out { $p => $arm },] $d
            $($rest)*)
    };
    (@read [$i:tt $($is:tt)*] [$($l:tt)*] [$($e:tt)*] [$($n:tt)*] [$($c:tt)*] [$($a:tt)*] $d:tt
        recv ($ch:expr $(,)?) -> $p:pat => $arm:block $($rest:tt)*) => {
        $crate::__select!(@read [$($is)*]
            [$($l)* let mut out = ::core::option::Option::None;]
            [$($e)* ($ch).__recv_case(&mut out),]
            [$($n)* case] [$($c)* case] [$($a)* $i => match out { $p => $arm },] $d
            $($rest)*)
    };
    (@read [$i:tt $($is:tt)*] [$($l:tt)*] [$($e:tt)*] [$($n:tt)*] [$($c:tt)*] [$($a:tt)*] $d:tt
        recv ($ch:expr $(,)?) -> $p:pat => $arm:expr , $($rest:tt)*) => {
        $crate::__select!(@read [$($is)*]
            [$($l)* let mut out = ::core::option::Option::None;]
            [$($e)* ($ch).__recv_case(&mut out),]
            [$($n)* case] [$($c)* case] [$($a)* $i => match out { $p => $arm },] $d
            $($rest)*)
    };
    (@read [$i:tt $($is:tt)*] [$($l:tt)*] [$($e:tt)*] [$($n:tt)*] [$($c:tt)*] [$($a:tt)*] $d:tt
        recv ($ch:expr $(,)?) -> $p:pat => $arm:expr) => {
        $crate::__select!(@read [$($is)*]
            [$($l)* let mut out = ::core::option::Option::None;]
            [$($e)* ($ch).__recv_case(&mut out),]
            [$($n)* case] [$($c)* case] [$($a)* $i => match out { $p => $arm },] $d
            )
    };
    (@read [$i:tt $($is:tt)*] $l:tt [$($e:tt)*] [$($n:tt)*] [$($c:tt)*] [$($a:tt)*] $d:tt
        send ($ch:expr, $value:expr $(,)?) => $arm:block , $($rest:tt)*) => {
        $crate::__select!(@read [$($is)*] $l
            [$($e)* ($ch).__send_case($value),]
            [$($n)* case] [$($c)* case] [$($a)* $i => $arm,] $d
            $($rest)*)
    };
    (@read [$i:tt $($is:tt)*] $l:tt [$($e:tt)*] [$($n:tt)*] [$($c:tt)*] [$($a:tt)*] $d:tt
        send ($ch:expr, $value:expr $(,)?) => $arm:block $($rest:tt)*) => {
        $crate::__select!(@read [$($is)*] $l
            [$($e)* ($ch).__send_case($value),]
            [$($n)* case] [$($c)* case] [$($a)* $i => $arm,] $d
            $($rest)*)
    };
    (@read [$i:tt $($is:tt)*] $l:tt [$($e:tt)*] [$($n:tt)*] [$($c:tt)*] [$($a:tt)*] $d:tt
        send ($ch:expr, $value:expr $(,)?) => $arm:expr , $($rest:tt)*) => {
        $crate::__select!(@read [$($is)*] $l
            [$($e)* ($ch).__send_case($value),]
            [$($n)* case] [$($c)* case] [$($a)* $i => $arm,] $d
            $($rest)*)
    };
    (@read [$i:tt $($is:tt)*] $l:tt [$($e:tt)*] [$($n:tt)*] [$($c:tt)*] [$($a:tt)*] $d:tt
        send ($ch:expr, $value:expr $(,)?) => $arm:expr) => {
        $crate::__select!(@read [$($is)*] $l
            [$($e)* ($ch).__send_case($value),]
            [$($n)* case] [$($c)* case] [$($a)* $i => $arm,] $d
            )
    };
    (@read $is:tt $l:tt [$($e:tt)*] [$($n:tt)*] $c:tt $a:tt []
        default $(($t:expr $(,)?))? => $arm:block , $($rest:tt)*) => {
        $crate::__select!(@read $is $l [$($e)* $crate::__default([$($t)?]),] [$($n)* limit] $c $a [[limit] [$arm]]
            $($rest)*)
    };
    (@read $is:tt $l:tt [$($e:tt)*] [$($n:tt)*] $c:tt $a:tt []
        default $(($t:expr $(,)?))? => $arm:block $($rest:tt)*) => {
        $crate::__select!(@read $is $l [$($e)* $crate::__default([$($t)?]),] [$($n)* limit] $c $a [[limit] [$arm]]
            $($rest)*)
    };
    (@read $is:tt $l:tt [$($e:tt)*] [$($n:tt)*] $c:tt $a:tt []
        default $(($t:expr $(,)?))? => $arm:expr , $($rest:tt)*) => {
        $crate::__select!(@read $is $l [$($e)* $crate::__default([$($t)?]),] [$($n)* limit] $c $a [[limit] [$arm]]
            $($rest)*)
    };
    (@read $is:tt $l:tt [$($e:tt)*] [$($n:tt)*] $c:tt $a:tt []
        default $(($t:expr $(,)?))? => $arm:expr) => {
        $crate::__select!(@read $is $l [$($e)* $crate::__default([$($t)?]),] [$($n)* limit] $c $a [[limit] [$arm]]
            )
    };

    // What is none of these.
    (@read [] $l:tt $e:tt $n:tt $c:tt $a:tt $d:tt $kind:ident $args:tt $($rest:tt)*) => {
        ::core::compile_error!("select!: more than 64 cases")
    };
    (@read $is:tt $l:tt $e:tt $n:tt $c:tt $a:tt [$($d:tt)+] default $($rest:tt)*) => {
        ::core::compile_error!("select!: more than one default")
    };
    (@read $is:tt $l:tt $e:tt $n:tt $c:tt $a:tt $d:tt $($rest:tt)+) => {
        ::core::compile_error!(::core::concat!(
            "select!: expected `recv(channel) -> pattern => arm`, `send(channel, value) => arm`, `default => arm` or ",
            "`default(duration) => arm`, and a comma after an arm that is not a block; found `",
            ::core::stringify!($($rest)+), "`"
        ))
    };

    (@emit [$($let:tt)*] [$($expr:tt)*] [$($name:ident)*] [$($case:ident)*] [$($arm:tt)*]
        [$($default:tt)*] [$($otherwise:tt)*]) => {{
        $($let)*
        #[allow(unused_mut, unused_parens)]
        let chosen = match ($($expr)*) {
            ($(mut $name,)*) => {
                let chosen = $crate::__selectgo(&mut [$($case.__scase()),*], $($default)*);
                $($case.__finish();)*
                chosen
            }
        };
        match chosen {
            $($arm)*
            _ => $($otherwise)*
        }
    }};
}
