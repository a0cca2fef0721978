-- Written by `aistation cluster apply` from /etc/aistation/cluster.yaml (contents e2c3b938e14f).
-- Changes made here are lost; change the cluster file instead.
return {
  over_request = "adjust",
  default_group = "GPU_a.1",
  exempt = {[0] = true, [64030] = true},
  user = {gpus = 4},
  development = {gpus = 2, shards = 2, cpus = 3, memory = 5120},
  order = {"GPU_a.1", "solo"},
  groups = {
    ["GPU_a.1"] = {gpu_type = "A100-SXM4", use = "both", nodes = 5, gpus = 3, cpus = 7, memory = 102400, shards = 0, teams = {x = true, ["y.z"] = true}, user = {gpus = 0}, team = {}},
    solo = {gpu_type = "t4", use = "training", nodes = 1, gpus = 1, cpus = 2, memory = 7500, shards = 64, user = {gpus = 1, shards = 8}, team = {gpus = 1, shards = 32}},
  },
  teams = {
    x = {gpus = 8},
    ["y.z"] = {gpus = 8},
    empty = {gpus = 8},
  },
}
