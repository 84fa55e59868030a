//! Where networks run and in which precision: the person's choice, and the device it comes to.

use candle_core::{DType, Device};

/// What a person may choose; only what this build can do is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The GPU if this build and machine have one, else the CPU.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The first NVIDIA GPU (builds with the `cuda` feature).
    Cuda,
    /// Apple's GPU (builds with the `metal` feature).
    Metal,
}

/// How numbers are kept on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit on the CPU, 16-bit on a GPU.
    #[default]
    Auto,
    /// 32-bit.
    F32,
    /// 16-bit, five bits of exponent; GPU only.
    F16,
    /// 16-bit, eight bits of exponent; GPU only.
    Bf16,
}

/// A device and precision that are there.
#[derive(Clone, Debug)]
pub struct Compute {
    /// candle's device.
    pub device: Device,
    /// The type of weights and activations.
    pub dtype: DType,
}

/// A choice that this build or machine cannot follow.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not compiled in.
    #[error("this build has no {0} support; build with `--features {0}`, or choose the CPU")]
    NotBuilt(&'static str),
    /// The driver refused.
    #[error("the {name} device cannot be opened ({reason}); choose the CPU")]
    Refused {
        /// "cuda" or "metal".
        name: &'static str,
        /// The driver's words.
        reason: String,
    },
    /// 16-bit arithmetic on the CPU is slower and lacks convolutions.
    #[error("the CPU computes in f32; choose f32, or a GPU for 16-bit")]
    CpuPrecision,
}

impl Compute {
    /// The CPU in f32, which is always there.
    #[must_use]
    pub fn cpu() -> Self {
        Self { device: Device::Cpu, dtype: DType::F32 }
    }

    /// Opens what was chosen.
    ///
    /// # Errors
    /// [`DeviceError`] if this build or machine cannot.
    pub fn open(device: DeviceChoice, precision: Precision) -> Result<Self, DeviceError> {
        let device = match device {
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Cuda => cuda()?,
            DeviceChoice::Metal => metal()?,
            DeviceChoice::Auto => cuda().or_else(|_| metal()).unwrap_or(Device::Cpu),
        };
        let dtype = match (precision, device.is_cpu()) {
            (Precision::Auto | Precision::F32, true) | (Precision::F32, false) => DType::F32,
            (Precision::F16 | Precision::Bf16, true) => return Err(DeviceError::CpuPrecision),
            (Precision::Auto | Precision::F16, false) => DType::F16,
            (Precision::Bf16, false) => DType::BF16,
        };
        Ok(Self { device, dtype })
    }

    /// "CPU, f32", "CUDA, f16": for the status line and recipes.
    #[must_use]
    pub fn describe(&self) -> String {
        let device = match self.device {
            Device::Cpu => "CPU",
            Device::Cuda(_) => "CUDA",
            Device::Metal(_) => "Metal",
        };
        format!("{device}, {}", self.dtype.as_str())
    }
}

/// What [`Compute::open`] comes to, in the words of [`Compute::describe`], without opening anything.
#[must_use]
pub fn describe(device: DeviceChoice, precision: Precision) -> String {
    let (cuda, metal) = (candle_core::utils::cuda_is_available(), candle_core::utils::metal_is_available());
    let name = match device {
        DeviceChoice::Cuda => "CUDA",
        DeviceChoice::Metal => "Metal",
        DeviceChoice::Auto if cuda => "CUDA",
        DeviceChoice::Auto if metal => "Metal",
        DeviceChoice::Auto | DeviceChoice::Cpu => "CPU",
    };
    let precision = match precision {
        _ if name == "CPU" => "f32",
        Precision::F32 => "f32",
        Precision::Auto | Precision::F16 => "f16",
        Precision::Bf16 => "bf16",
    };
    format!("{name}, {precision}")
}

fn cuda() -> Result<Device, DeviceError> {
    if !candle_core::utils::cuda_is_available() {
        return Err(DeviceError::NotBuilt("cuda"));
    }
    Device::new_cuda(0).map_err(|error| DeviceError::Refused { name: "cuda", reason: error.to_string() })
}

fn metal() -> Result<Device, DeviceError> {
    if !candle_core::utils::metal_is_available() {
        return Err(DeviceError::NotBuilt("metal"));
    }
    Device::new_metal(0).map_err(|error| DeviceError::Refused { name: "metal", reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there_in_f32() {
        let compute = Compute::open(DeviceChoice::Cpu, Precision::Auto).expect("the CPU");
        assert_eq!(compute.describe(), "CPU, f32");
        assert_eq!(describe(DeviceChoice::Cpu, Precision::Auto), compute.describe());
        assert!(matches!(Compute::open(DeviceChoice::Cpu, Precision::F16), Err(DeviceError::CpuPrecision)));
    }
}
