//! Threads for calls that may never come back: a bounded number of them, a bounded queue before them, and a bounded wait for each answer.
//!
//! Not the blocking threads of tokio: its runtime waits for those at its end, and a token that hangs would keep the server from ending.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};
use tokio::sync::oneshot;

/// Threads with a state each. Those that idle end when the last handle is dropped.
pub(super) struct Workers<S> {
    queue: mpsc::SyncSender<Job<S>>,
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Waited {
    TooLong,
    QueueFull,
    Panicked,
}

impl<S: 'static> Workers<S> {
    /// Starts `threads` threads; `waiting_at_most` jobs wait for one of them.
    pub(super) fn start(
        name: &str,
        threads: usize,
        waiting_at_most: usize,
        state: impl Fn() -> S + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (queue, jobs) = mpsc::sync_channel(waiting_at_most);
        let jobs = Arc::new(Mutex::new(jobs));
        let state = Arc::new(state);
        for _ in 0..threads {
            let (jobs, state) = (Arc::clone(&jobs), Arc::clone(&state));
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&jobs, &*state))?;
        }
        Ok(Self { queue })
    }

    /// Does the job on one of the threads. A job that nobody waits for any more is not begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, Waited> {
        let (answer, answered) = oneshot::channel();
        self.put(Box::new(move |state| {
            if !answer.is_closed() {
                // Whoever asked may have gone meanwhile.
                drop(answer.send(job(state)));
            }
        }))?;
        match tokio::time::timeout(limit, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Waited::Panicked),
            Err(_) => Err(Waited::TooLong),
        }
    }

    /// The same for a thread that may wait.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        limit: Duration,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, Waited> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.put(Box::new(move |state| drop(answer.send(job(state)))))?;
        answered.recv_timeout(limit).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => Waited::TooLong,
            mpsc::RecvTimeoutError::Disconnected => Waited::Panicked,
        })
    }

    fn put(&self, job: Job<S>) -> Result<(), Waited> {
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => Waited::QueueFull,
            mpsc::TrySendError::Disconnected(_) => Waited::Panicked,
        })
    }
}

fn work<S>(jobs: &Mutex<mpsc::Receiver<Job<S>>>, new_state: &dyn Fn() -> S) {
    let mut state = new_state();
    loop {
        // Whoever waits for a job holds the lock, and the others wait for the lock: the order in which they wake does not matter.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(|| job(&mut state))).is_err() {
            // What a job left half done is not used again.
            state = new_state();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(10);

    fn workers(threads: usize, waiting_at_most: usize) -> Workers<u32> {
        Workers::start("test", threads, waiting_at_most, || 0).unwrap()
    }

    #[tokio::test]
    async fn a_job_is_done_with_the_state_of_its_thread() {
        let workers = workers(1, 4);
        for expected in 1..4 {
            let job = |state: &mut u32| {
                *state += 1;
                *state
            };
            assert_eq!(workers.run(LONG, job).await, Ok(expected));
        }
        assert_eq!(workers.wait(LONG, |state| *state), Ok(3));
    }

    /// Begins a job that hangs until it is released.
    fn hang(workers: &Workers<u32>) -> mpsc::Sender<()> {
        let (release, hangs) = mpsc::channel();
        let (begun, is_begun) = mpsc::channel();
        let job = move |_: &mut u32| {
            begun.send(()).unwrap();
            hangs.recv().unwrap();
        };
        workers.put(Box::new(job)).unwrap();
        is_begun.recv_timeout(LONG).unwrap();
        release
    }

    #[tokio::test]
    async fn whoever_hangs_keeps_nobody_waiting_for_long_and_the_queue_has_an_end() {
        let workers = workers(1, 2);
        let release = hang(&workers);
        let (done, is_done) = mpsc::channel();
        let waited = workers.wait(SOON, move |_| done.send(()).unwrap());
        assert_eq!(waited, Err(Waited::TooLong));
        assert_eq!(workers.run(SOON, |_| ()).await, Err(Waited::TooLong));
        assert_eq!(workers.run(SOON, |_| ()).await, Err(Waited::QueueFull));
        release.send(()).unwrap();
        // Then there is room.
        is_done.recv_timeout(LONG).unwrap();
        assert_eq!(workers.run(LONG, |state| *state).await, Ok(0));
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_is_not_begun() {
        let workers = workers(1, 2);
        let release = hang(&workers);
        let late = workers.run(SOON, |state| *state = 7).await;
        assert_eq!(late, Err(Waited::TooLong));
        release.send(()).unwrap();
        assert_eq!(workers.run(LONG, |state| *state).await, Ok(0));
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_its_state_with_it_and_not_the_thread() {
        let workers = workers(1, 2);
        let panicked = workers.run(LONG, |state| {
            *state = 7;
            panic!("on purpose")
        });
        assert_eq!(panicked.await, Err::<(), _>(Waited::Panicked));
        assert_eq!(workers.run(LONG, |state| *state).await, Ok(0));
    }
}
