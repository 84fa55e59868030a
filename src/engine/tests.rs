//! The engine's promises, with jobs that wait on channels instead of clocks.

use std::sync::mpsc;

use super::*;
use crate::nets::watcher::Watcher;

fn engine() -> Engine {
    Engine::start(1_000, Arc::new(|| {})).expect("a thread")
}

/// Runs `body` on the inference thread.
struct Call<T>(Box<Body<T>>);

type Body<T> = dyn FnOnce(&mut JobContext<'_>) -> anyhow::Result<T> + Send;

fn call<T: Send + 'static>(body: impl FnOnce(&mut JobContext<'_>) -> anyhow::Result<T> + Send + 'static) -> Call<T> {
    Call(Box::new(body))
}

impl<T: Send + 'static> Job for Call<T> {
    type Output = T;

    fn title(&self) -> String {
        "test".to_owned()
    }

    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<T> {
        (self.0)(context)
    }
}

/// A job that says when it began and ends when told or cancelled.
fn gate() -> (Call<()>, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (began, has_begun) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    let job = call(move |context| {
        began.send(())?;
        loop {
            context.monitor.checkpoint()?;
            match opened.try_recv() {
                Ok(()) => return Ok(()),
                Err(mpsc::TryRecvError::Disconnected) => anyhow::bail!("the gate was dropped"),
                Err(mpsc::TryRecvError::Empty) => std::thread::yield_now(),
            }
        }
    });
    (job, has_begun, open)
}

#[test]
fn results_come_in_the_order_of_the_queue() {
    let engine = engine();
    let (blocker, began, open) = gate();
    let blocker = engine.submit(blocker);
    began.recv().expect("begun");
    let (order, ordered) = mpsc::channel();
    let tickets: Vec<_> = (0..3)
        .map(|n| {
            let order = order.clone();
            engine.submit(call(move |_| Ok(order.send(n)?)))
        })
        .collect();
    engine.reorder(tickets[2].id, 0);
    open.send(()).expect("open");
    blocker.wait().expect("done");
    for ticket in tickets {
        ticket.wait().expect("done");
    }
    drop(order);
    assert_eq!(ordered.iter().collect::<Vec<_>>(), [2, 0, 1]);
}

#[test]
fn cancelling_one_leaves_the_others() {
    let engine = engine();
    let (running, began, _open) = gate();
    let running = engine.submit(running);
    began.recv().expect("begun");
    let waiting = engine.submit(call(|_| Ok(1)));
    let spared = engine.submit(call(|_| Ok(2)));
    engine.cancel(waiting.id);
    assert_eq!(engine.jobs().len(), 2, "a cancelled job is no longer listed");
    engine.cancel(running.id);
    let monitor = Arc::clone(&running.monitor);
    assert_eq!(running.wait(), Err(JobError::Cancelled));
    assert_eq!(waiting.wait(), Err(JobError::Cancelled));
    assert_eq!(spared.wait(), Ok(2));
    assert_eq!(monitor.snapshot().state, JobState::Cancelled);
}

#[test]
fn a_panic_fails_its_job_alone() {
    let engine = engine();
    let broken = engine.submit(call::<()>(|_| panic!("injected")));
    let next = engine.submit(call(|_| Ok("fine")));
    assert_eq!(broken.wait(), Err(JobError::Panicked { message: "injected".to_owned() }));
    assert_eq!(next.wait(), Ok("fine"));
}

#[test]
fn out_of_memory_frees_the_models_and_the_next_job_runs() {
    let engine = engine();
    let held = engine.submit(call(|context| {
        context.models.get_or_load("model", 10, || Ok::<_, anyhow::Error>(1))?;
        Ok(context.models.bytes())
    }));
    assert_eq!(held.wait(), Ok(10));
    let shortage =
        JobError::OutOfMemory { what: "a test".into(), needed: 5, available: 1, advice: "Choose less.".into() };
    let expected = shortage.clone();
    let starved = engine.submit(call::<()>(move |_| Err(anyhow::Error::new(shortage).context("while testing"))));
    assert_eq!(starved.wait(), Err(expected));
    let next = engine.submit(call(|context| Ok(context.models.bytes())));
    assert_eq!(next.wait(), Ok(0));
}

#[test]
fn a_driver_out_of_memory_is_recognised_by_its_text() {
    let error = anyhow::anyhow!("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")").context("denoising");
    assert!(matches!(JobError::from_anyhow(&error), JobError::OutOfMemory { .. }));
}

#[test]
fn cancellation_inside_a_forward_pass_is_no_failure() {
    let engine = engine();
    let job = engine.submit(call::<()>(|context| {
        context.monitor.cancel();
        context.monitor.checkpoint().map_err(|error| anyhow::Error::from(error).context("in the UNet"))
    }));
    assert_eq!(job.wait(), Err(JobError::Cancelled));
}

#[test]
fn dropping_the_engine_ends_a_running_job() {
    let engine = engine();
    let (running, began, _open) = gate();
    let running = engine.submit(running);
    let waiting = engine.submit(call(|_| Ok(())));
    began.recv().expect("begun");
    drop(engine);
    assert_eq!(running.wait(), Err(JobError::Cancelled));
    assert_eq!(waiting.wait(), Err(JobError::Cancelled));
}

#[test]
fn progress_tells_steps_and_time() {
    let monitor = Monitor::silent();
    monitor.set_state(JobState::Running);
    monitor.stage("Denoising", 20);
    assert_eq!(monitor.snapshot().per_step, None);
    monitor.step(5);
    let shown = monitor.snapshot();
    assert_eq!((shown.stage.as_str(), shown.step, shown.steps), ("Denoising", 5, 20));
    assert!(shown.per_step.is_some() && shown.remaining.is_some());
}
