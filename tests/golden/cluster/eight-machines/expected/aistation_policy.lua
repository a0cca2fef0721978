-- Written by `aistation cluster apply` from /etc/aistation/cluster.yaml (contents 131f18e162b0).
-- Changes made here are lost; change the cluster file instead.
return {
  over_request = "adjust",
  default_group = "v100",
  exempt = {[0] = true, [64030] = true},
  user = {gpus = 12, cpus = 212, memory = 1720320},
  development = {gpus = 0, shards = 1, cpus = 4, memory = 16384},
  night = {user = {}, team = {}},
  order = {"a100", "v100", "lab"},
  groups = {
    ["a100"] = {gpu_type = "a100", use = "training", nodes = 2, gpus = 8, cpus = 128, memory = 1048576, shards = 0, teams = {language = true, vision = true}, user = {}, team = {}},
    ["v100"] = {gpu_type = "v100", use = "training", nodes = 4, gpus = 4, cpus = 32, memory = 131072, shards = 0, user = {gpus = 8, cpus = 72, memory = 294912}, team = {gpus = 12, cpus = 104, memory = 425984}},
    lab = {gpu_type = "rtx2080ti", use = "both", nodes = 2, gpus = 4, cpus = 32, memory = 131072, shards = 16, user = {}, team = {}},
  },
  teams = {
    language = {gpus = 24, cpus = 416, memory = 3342336},
    vision = {gpus = 20, cpus = 348, memory = 2801664},
    students = {gpus = 8, cpus = 164, memory = 1261568},
  },
}
