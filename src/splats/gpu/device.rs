//! A graphics device: the window's own, or one without a window; its limits, and its errors as values.

use std::time::{Duration, Instant};

use crate::splats::SplatError;

/// A device that does not answer for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A graphics device and what is known of it. Clones share the device.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    name: String,
    is_cpu: bool,
    limits: wgpu::Limits,
}

impl Gpu {
    /// A device of an adapter that somebody else opened, as the window's.
    #[must_use]
    pub fn of(adapter: &wgpu::Adapter, device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let info = adapter.get_info();
        Self {
            device: device.clone(),
            queue: queue.clone(),
            name: info.name,
            is_cpu: info.device_type == wgpu::DeviceType::Cpu,
            limits: device.limits(),
        }
    }

    /// Opens the fastest adapter of this machine, without a window. WGPU_BACKEND and WGPU_POWER_PREF are honoured.
    ///
    /// # Errors
    /// [`SplatError::Device`] if there is none, or it does not open.
    pub fn headless() -> Result<Self, SplatError> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let power_preference = wgpu::PowerPreference::from_env().unwrap_or(wgpu::PowerPreference::HighPerformance);
        let options = wgpu::RequestAdapterOptions { power_preference, ..wgpu::RequestAdapterOptions::default() };
        let adapter = pollster::block_on(instance.request_adapter(&options))
            .map_err(|error| SplatError::Device(format!("there is no graphics adapter ({error})")))?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("splats"),
            required_features: adapter.features() & wanted_features(),
            required_limits: adapter.limits(),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| SplatError::Device(format!("the graphics device does not open ({error})")))?;
        // Scopes catch what is expected; anything else must not end the program.
        device.on_uncaptured_error(std::sync::Arc::new(|error| tracing::error!("graphics: {error}")));
        Ok(Self::of(&adapter, &device, &queue))
    }

    /// What the adapter calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the processor that pretends to be a graphics card.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.is_cpu
    }

    pub(super) fn limits(&self) -> &wgpu::Limits {
        &self.limits
    }

    /// Whether single floats can be blended.
    pub(super) fn blends_singles(&self) -> bool {
        self.device.features().contains(wgpu::Features::FLOAT32_BLENDABLE)
    }

    /// Does something with the device and makes what it complains of an error. `what` completes "the renderer failed: ".
    pub(super) fn checked<T>(&self, what: &str, work: impl FnOnce() -> Result<T, SplatError>) -> Result<T, SplatError> {
        let filters = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let done = work();
        let mut fault = None;
        // The last pushed is the first popped.
        for scope in scopes.into_iter().rev() {
            fault = pollster::block_on(scope.pop()).or(fault);
        }
        match fault {
            None => done,
            Some(wgpu::Error::OutOfMemory { .. }) => {
                Err(SplatError::Device(format!("the graphics memory is too small for {what}")))
            }
            Some(error) => Err(SplatError::Device(format!("{what}: {error}"))),
        }
    }

    /// Waits until everything that was submitted is done.
    pub(super) fn finish(&self) -> Result<(), SplatError> {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.queue.on_submitted_work_done(move || drop(sender.send(Ok(()))));
        self.wait(&receiver)
    }

    /// Waits until a mapped buffer is there. Others may use the device meanwhile.
    pub(super) fn wait(
        &self,
        mapped: &std::sync::mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    ) -> Result<(), SplatError> {
        use std::sync::mpsc::TryRecvError;
        let began = Instant::now();
        loop {
            // Not the waiting kind of poll: that would hold up the window's own submissions.
            let polled = self.device.poll(wgpu::PollType::Poll);
            match mapped.try_recv() {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => {
                    return Err(SplatError::Device("the device was lost".to_owned()));
                }
                Err(TryRecvError::Empty) => {}
            }
            if let Err(error) = polled {
                return Err(SplatError::Device(error.to_string()));
            }
            if began.elapsed() > PATIENCE {
                return Err(SplatError::Device(format!("the device did not answer for {} s", PATIENCE.as_secs())));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// What the renderer makes use of where an adapter has it: targets of single floats for exact pictures.
#[must_use]
pub fn wanted_features() -> wgpu::Features {
    wgpu::Features::FLOAT32_BLENDABLE
}
