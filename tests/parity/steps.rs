//! Guidance and schedulers against diffusers: from the reference's own network outputs to its latents, step by step.
//!
//! Every step starts from the reference's latents, so that what is measured is this step's arithmetic alone; the
//! whole run with our own networks is measured elsewhere.

use glassbox::edit::guidance::{Modulation, Predictions, Scales, guide};
use glassbox::edit::scheduler::{Sampler, Schedule, SchedulerKind};
use serde_json::Value;

use crate::fixtures::{folders, json, relative_l2, tensors, values};

/// The scheduler that a run's `run.json` asks for.
pub(crate) fn kind(run: &Value) -> SchedulerKind {
    let karras = run["scheduler_options"]["use_karras_sigmas"].as_bool().unwrap_or(false);
    match run["scheduler"].as_str().expect("a class name") {
        "EulerAncestralDiscreteScheduler" => SchedulerKind::EulerAncestral,
        "EulerDiscreteScheduler" => SchedulerKind::Euler,
        "DDIMScheduler" => SchedulerKind::Ddim,
        "DPMSolverMultistepScheduler" if karras => SchedulerKind::DpmSolverKarras,
        "DPMSolverMultistepScheduler" => SchedulerKind::DpmSolver,
        other => panic!("unknown scheduler {other}"),
    }
}

/// The config the run used: the folder's, with the run's options on top.
pub(crate) fn scheduler_config(run: &Value) -> Value {
    let mut config = run["scheduler_config"].clone();
    if let (Some(all), Some(more)) = (config.as_object_mut(), run["scheduler_options"].as_object()) {
        all.extend(more.clone());
    }
    config
}

#[test]
fn every_step_of_every_run_agrees() {
    for name in folders("edit/runs") {
        let run = json(&format!("edit/runs/{name}/run.json"));
        let noise = tensors(&format!("edit/runs/{name}/noise.safetensors"));
        let trace = tensors(&format!("edit/runs/{name}/trace.safetensors"));
        let number = |key: &str| run[key].as_f64().expect("a number");
        let steps = run["steps"].as_u64().expect("steps") as usize;
        let schedule = Schedule::new(kind(&run), &scheduler_config(&run), steps).expect("a schedule");

        let timesteps: Vec<f32> = schedule.timesteps.iter().map(|t| *t as f32).collect();
        assert!(relative_l2(&timesteps, &values(&trace["timesteps"])) < 1e-6, "{name}: timesteps {timesteps:?}");
        if let Some(sigmas) = trace.get("sigmas") {
            let found: Vec<f32> = schedule.sigmas.iter().map(|s| *s as f32).collect();
            assert!(relative_l2(&found, &values(sigmas)) < 1e-4, "{name}: sigmas {found:?}");
        }

        let scales = Scales {
            text: number("guidance_scale"),
            specific: number("specific_guidance_scale"),
            image: number("image_guidance_scale"),
        };
        let (_, _, height, width) = noise["init"].dims4().expect("init is [1, c, h, w]");
        let draws = values(&noise["steps"]);
        let mut z: Vec<f32> = values(&noise["init"]).iter().map(|v| v * schedule.init_std as f32).collect();
        let mut sampler = Sampler::new(&schedule);
        let mut worst: f64 = 0.0;
        for i in 0..steps {
            let rows = values(&trace[&format!("eps.{i}")]);
            let rows: Vec<&[f32]> = rows.chunks(z.len()).collect();
            let predictions =
                Predictions { ambiguous: rows[0], image_only: rows[1], null: rows[2], specifics: &rows[3..] };
            let modulations = vec![Modulation { weight: 1.0, region: None }; rows.len() - 3];
            let guided = guide(predictions, &modulations, scales, height * width);
            if let Some(selection) = trace.get(&format!("selection.{i}")) {
                let found: Vec<f32> = guided.selection.iter().map(|k| f32::from(*k)).collect();
                assert_eq!(found, values(selection), "{name}: selection of step {i}");
            }
            let noise = &draws[i * z.len()..(i + 1) * z.len()];
            let moved = sampler.step(i, &guided.output, &z, noise);
            z = values(&trace[&format!("latents.{i}")]);
            worst = worst.max(relative_l2(&moved, &z));
        }
        println!("{name}: worst step {worst:.1e}");
        // Zero terminal signal-to-noise starts at σ = 4096, where the reference's f32 tables and latents round coarsely.
        let tolerance = if run["scheduler_options"]["rescale_betas_zero_snr"] == true { 1e-4 } else { 5e-6 };
        assert!(worst < tolerance, "{name}: a step is off by {worst}");
    }
}
