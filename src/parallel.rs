//! The same work for each of many, on both processors of a small machine.

use std::sync::{Mutex, PoisonError};

/// Beside the one that waits for them.
const THREADS: usize = 2;
/// Fewer are done before a thread has started.
const WORTH_THREADS: usize = 16;

/// Does `work` for each, and gives what came of it in their order. A thread that is done with one takes the next, since one group may be as
/// large as a thousand others.
pub(crate) fn each<T: Send, U: Send>(all: Vec<T>, work: impl Fn(T) -> U + Sync) -> Vec<U> {
    if all.len() < WORTH_THREADS {
        return all.into_iter().map(work).collect();
    }
    let rest = Mutex::new(all.into_iter().enumerate());
    let next = || rest.lock().unwrap_or_else(PoisonError::into_inner).next();
    let some = || std::iter::from_fn(next).map(|(at, one)| (at, work(one))).collect::<Vec<_>>();
    let mut done: Vec<(usize, U)> = Vec::new();
    std::thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(some));
        for thread in threads {
            done.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, one)| one).collect()
}

/// Does `work` for as many parts of a long list as there are threads, each a row of neighbours, and gives what came of them in their order.
pub(crate) fn parts<'a, T: Sync, U: Send>(all: &'a [T], work: impl Fn(&'a [T]) -> U + Sync) -> Vec<U> {
    let length = all.len().div_ceil(THREADS).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = all.chunks(length).map(|part| scope.spawn(|| work(part))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_each_is_in_its_place() {
        for many in [0, 1, WORTH_THREADS, 1_000] {
            let all: Vec<usize> = (0..many).collect();
            assert_eq!(each(all.clone(), |one| one * 2), all.iter().map(|one| one * 2).collect::<Vec<_>>());
            assert_eq!(parts(&all, <[usize]>::to_vec).concat(), all);
        }
    }

    #[test]
    #[should_panic(expected = "one in forty")]
    fn a_thread_that_breaks_off_breaks_off_the_work() {
        each((0..40).collect(), |one| assert_ne!(one, 39, "one in forty"));
    }
}
