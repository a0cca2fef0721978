-- Written by `aistation cluster apply` from /etc/aistation/cluster.yaml (contents 26b1e549203a).
-- Changes made here are lost; change the cluster file instead.
return {
  over_request = "adjust",
  default_group = "v100",
  exempt = {[0] = true, [64030] = true},
  user = {gpus = 16, types = {["a100"] = 8}, shards = 16, cpus = 280, memory = 1736704},
  development = {gpus = 1, shards = 1, cpus = 4, memory = 16384},
  night = {user = {gpus = 32}, team = {gpus = 96}},
  order = {"a100", "v100", "packed", "lab"},
  groups = {
    ["a100"] = {gpu_type = "a100", use = "training", nodes = 4, names = "a100-[01-04]", gpus = 8, cpus = 128, memory = 1048576, shards = 0, teams = {research = true, language = true, vision = true}, user = {gpus = 8, cpus = 144, memory = 1179648}, team = {gpus = 24, nodes = 4, cpus = 400, memory = 3145728}},
    ["v100"] = {gpu_type = "v100", use = "both", nodes = 8, names = "v100-[01-08]", gpus = 8, cpus = 64, memory = 524288, shards = 0, user = {}, team = {}},
    packed = {gpu_type = "t4", use = "training", nodes = 1, names = "packed-01", gpus = 1, cpus = 16, memory = 65536, shards = 8, sharing = "mps", user = {}, team = {}},
    lab = {gpu_type = "rtx2080ti", use = "development", nodes = 2, names = "lab-[01-02]", gpus = 4, cpus = 32, memory = 131072, shards = 16, user = {}, team = {}},
  },
  teams = {
    research = {gpus = 64, types = {["a100"] = 32}, cpus = 1080, memory = 6586368},
    language = {gpus = 48, cpus = 808, memory = 6520832, parent = "research"},
    vision = {gpus = 48, cpus = 800, memory = 6488064, parent = "research"},
    students = {gpus = 48, cpus = 800, memory = 6488064},
  },
}
