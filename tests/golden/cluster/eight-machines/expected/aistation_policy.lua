-- Written by `aistation cluster apply` from /etc/aistation/cluster.yaml (contents 047c2660ee4b).
-- Changes made here are lost; change the cluster file instead.
return {
  over_request = "adjust",
  default_group = "v100",
  exempt = {[0] = true, [64030] = true},
  user = {gpus = 12, types = {["a100"] = 8}, cpus = 180, memory = 1327104},
  development = {gpus = 0, shards = 1, cpus = 4, memory = 16384},
  night = {user = {gpus = 24}, team = {}},
  order = {"a100", "v100", "lab"},
  groups = {
    ["a100"] = {gpu_type = "a100", use = "training", nodes = 2, names = "a100-[01-02]", gpus = 8, cpus = 128, memory = 1048576, shards = 0, teams = {language = true, vision = true}, user = {gpus = 8, cpus = 144, memory = 1179648}, team = {}},
    ["v100"] = {gpu_type = "v100", use = "training", nodes = 4, names = "v100-[01-04]", gpus = 4, cpus = 32, memory = 131072, shards = 0, user = {gpus = 8, cpus = 72, memory = 294912}, team = {gpus = 12, cpus = 104, memory = 425984}},
    lab = {gpu_type = "rtx2080ti", use = "both", nodes = 2, names = "lab-[01-02]", gpus = 4, cpus = 32, memory = 131072, shards = 16, user = {}, team = {}},
  },
  teams = {
    research = {gpus = 36, cpus = 620, memory = 4964352},
    language = {gpus = 24, cpus = 416, memory = 3342336, parent = "research"},
    vision = {gpus = 20, types = {["a100"] = 12}, cpus = 284, memory = 2015232, parent = "research"},
    students = {gpus = 8, types = {["a100"] = 0}, cpus = 100, memory = 475136},
  },
}
