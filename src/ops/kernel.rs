//! The bridge between candle's tensors and our CPU kernels: borrowed slices in, a new tensor out, gradients not at all.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

/// Whether our kernels take this tensor: f32 on the CPU.
pub(super) fn takes(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == candle_core::DType::F32
}

/// A tensor's numbers from its first element on, and where its elements lie among them.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) layout: &'a Layout,
}

impl<'a> View<'a> {
    pub(super) fn new(storage: &'a CpuStorage, layout: &'a Layout) -> Result<Self> {
        Ok(Self { numbers: &storage.as_slice::<f32>()?[layout.start_offset()..], layout })
    }

    /// All elements in order.
    ///
    /// # Errors
    /// When the tensor is not contiguous.
    pub(super) fn contiguous(self) -> Result<&'a [f32]> {
        if !self.layout.is_contiguous() {
            candle_core::bail!("a kernel needs contiguous numbers, got {:?}", self.layout);
        }
        Ok(&self.numbers[..self.layout.shape().elem_count()])
    }
}

/// A kernel as one of candle's operations.
pub(super) struct Kernel<F> {
    name: &'static str,
    run: F,
}

/// What a kernel makes.
pub(super) type Made = (Vec<f32>, Shape);

/// Runs a kernel over one tensor.
pub(super) fn over1(name: &'static str, x: &Tensor, run: impl Fn(View<'_>) -> Result<Made>) -> Result<Tensor> {
    x.apply_op1_no_bwd(&Kernel { name, run })
}

/// Runs a kernel over two tensors.
pub(super) fn over2(
    name: &'static str,
    [a, b]: [&Tensor; 2],
    run: impl Fn([View<'_>; 2]) -> Result<Made>,
) -> Result<Tensor> {
    a.apply_op2_no_bwd(b, &Kernel { name, run })
}

/// Runs a kernel over three tensors.
pub(super) fn over3(
    name: &'static str,
    [a, b, c]: [&Tensor; 3],
    run: impl Fn([View<'_>; 3]) -> Result<Made>,
) -> Result<Tensor> {
    a.apply_op3_no_bwd(b, c, &Kernel { name, run })
}

fn stored((numbers, shape): Made) -> (CpuStorage, Shape) {
    (CpuStorage::F32(numbers), shape)
}

impl<F: Fn(View<'_>) -> Result<Made>> CustomOp1 for Kernel<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        (self.run)(View::new(s, l)?).map(stored)
    }
}

impl<F: Fn([View<'_>; 2]) -> Result<Made>> CustomOp2 for Kernel<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        (self.run)([View::new(s1, l1)?, View::new(s2, l2)?]).map(stored)
    }
}

impl<F: Fn([View<'_>; 3]) -> Result<Made>> CustomOp3 for Kernel<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        (self.run)([View::new(s1, l1)?, View::new(s2, l2)?, View::new(s3, l3)?]).map(stored)
    }
}
