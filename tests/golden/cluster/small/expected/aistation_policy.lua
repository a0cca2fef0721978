-- Written by `aistation cluster apply` from /etc/aistation/cluster.yaml (contents d7bb94f55f5f).
-- Changes made here are lost; change the cluster file instead.
return {
  over_request = "adjust",
  default_group = "v100",
  exempt = {[0] = true, [64030] = true},
  user = {gpus = 6, cpus = 30, memory = 61440},
  development = {gpus = 0, shards = 1, cpus = 1, memory = 2048},
  order = {"v100", "dev"},
  groups = {
    ["v100"] = {gpu_type = "v100", use = "training", nodes = 3, names = "v100-[01-03]", gpus = 2, cpus = 8, memory = 16384, shards = 0, user = {gpus = 4, cpus = 20, memory = 40960}, team = {}},
    dev = {gpu_type = "gtx1080ti", use = "development", nodes = 1, names = "dev-01", gpus = 2, cpus = 8, memory = 16384, shards = 8, user = {}, team = {}},
  },
  teams = {
    behavior = {},
    face = {},
  },
}
