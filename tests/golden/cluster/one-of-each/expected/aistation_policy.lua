-- Written by `aistation cluster apply` from /etc/aistation/cluster.yaml (contents 9d4b267f25fe).
-- Changes made here are lost; change the cluster file instead.
return {
  over_request = "adjust",
  default_group = "GPU_a.1",
  exempt = {[0] = true, [64030] = true},
  user = {gpus = 4, cpus = 13, memory = 175785},
  development = {gpus = 2, shards = 2, cpus = 3, memory = 5120},
  order = {"GPU_a.1", "solo"},
  groups = {
    ["GPU_a.1"] = {gpu_type = "A100-SXM4", use = "both", nodes = 5, names = "n1-a-[001-003,007],n2-b-1", gpus = 3, cpus = 7, memory = 102400, shards = 0, teams = {x = true, ["y.z"] = true}, user = {gpus = 0, cpus = 2, memory = 34133}, team = {}},
    solo = {gpu_type = "t4", use = "training", nodes = 1, names = "solo-1", gpus = 1, cpus = 2, memory = 7500, shards = 64, user = {gpus = 1, shards = 8, cpus = 2, memory = 4096}, team = {gpus = 1, shards = 32, cpus = 2, memory = 7168}},
  },
  teams = {
    x = {gpus = 8, cpus = 30, memory = 1048576},
    ["y.z"] = {gpus = 8, cpus = 20, memory = 312317},
    empty = {gpus = 8, cpus = 20, memory = 312317},
  },
}
