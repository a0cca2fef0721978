-- Written by `aistation cluster apply` from /etc/aistation/cluster.yaml (contents cd7b19fd2960).
-- Changes made here are lost; change the cluster file instead.
return {
  over_request = "adjust",
  default_group = "v100",
  exempt = {[0] = true, [64030] = true},
  user = {gpus = 24, cpus = 204, memory = 833536},
  development = {gpus = 0, shards = 1, cpus = 2, memory = 7168},
  order = {"p100_shar", "p100", "v100", "2080ti", "1080ti_dev"},
  groups = {
    ["p100_shar"] = {gpu_type = "p100", use = "training", nodes = 8, names = "p100s-[01-08]", gpus = 8, cpus = 64, memory = 262144, shards = 16, user = {}, team = {}},
    ["p100"] = {gpu_type = "p100", use = "training", nodes = 30, names = "p100-[01-30]", gpus = 8, cpus = 64, memory = 262144, shards = 0, teams = {behavior = true}, user = {gpus = 16, cpus = 136, memory = 557056}, team = {}},
    ["v100"] = {gpu_type = "v100", use = "training", nodes = 8, names = "v100-[01-08]", gpus = 8, cpus = 64, memory = 262144, shards = 0, user = {gpus = 16, cpus = 136, memory = 557056}, team = {}},
    ["2080ti"] = {gpu_type = "rtx2080ti", use = "training", nodes = 45, names = "ti-[01-45]", gpus = 8, cpus = 64, memory = 262144, shards = 0, teams = {robot = true, face = true}, user = {gpus = 16, cpus = 136, memory = 557056}, team = {}},
    ["1080ti_dev"] = {gpu_type = "gtx1080ti", use = "development", nodes = 4, names = "dev-[01-04]", gpus = 8, cpus = 64, memory = 262144, shards = 32, user = {}, team = {}},
  },
  teams = {
    behavior = {},
    robot = {},
    face = {},
    speech = {},
    medical = {},
    vision = {},
  },
}
