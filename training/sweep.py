"""SANE against the plain editor on held-out ambiguous wishes, over guidance scales, steps and image guidance.

`python training/sweep.py CONFIG vae_checkpoint=… images='"data/held/images-*.npy"' count=24 steps='[12]' scales='[[0.2,0.8]]' image='[1]'`:
every pair (s_T, s_S) is compared with the plain editor at s_T + s_S, the same total text push. The truth has all specifics applied.
"""
import numpy as np

from common import read_config
from look import Judge, wish_gains, wishes


def main():
    cfg = read_config()
    judge, ws = Judge(cfg), wishes(cfg)
    print(len(ws), "wishes", flush=True)
    for steps in cfg["steps"]:
        for s_i in cfg.get("image", [1.0]):
            plain = {}
            for s_t, s_s in cfg["scales"]:
                total = round(s_t + s_s, 3)
                o = {"steps": steps, "s_i": s_i, "spacing": cfg.get("spacing", "linspace")}
                if total not in plain:
                    plain[total], _ = wish_gains(judge, ws, np.asarray, True, s_t=total, **o)
                g = wish_gains(judge, ws, np.asarray, False, s_t=s_t, s_s=s_s, **o)[0] if s_s else plain[total]
                better = np.nanmean(g > plain[total])
                q = np.nanpercentile(g, [25, 50, 75]).round(3)
                print(f"steps {steps} s_I {s_i} s_T {s_t} s_S {s_s}: {q[1]} ({q[0]} … {q[2]}), plain at {total}: {np.nanmedian(plain[total]):.3f}, "
                      f"better on {better:.0%}", flush=True)


if __name__ == "__main__":
    main()
