-- Makes srun and salloc fit before they are sent, in the user's own command; docs/submission.md tells it to people.
--
-- The parts that job_submit.lua reads stand above as functions. Whatever goes wrong in here, the command goes on as it
-- was: job_submit.lua still decides. So does what is left to it: sbatch, which it can change itself; who may use which
-- group; what can't be made to fit. Lua 5.1 to 5.4.

local PREFIX = "gres:gpu:"

-- What was asked for, by option, command line and environment alike; what was not has defaults that look the same.
local function asked_for(options)
  local json, found = slurm.json_cli_options(options) or "", {}
  for name in json:gmatch('[{,]%s*"([%w-]+)"%s*:%s*"') do found[name] = options[name] end
  return found
end

local UNITS = { [""] = 1, K = 1 / 1024, M = 1, G = 1024, T = 1024 ^ 2, P = 1024 ^ 3 }

local function megabytes(text)
  local count, unit = (text or ""):match("^(%d+)([KMGTP]?)$")
  return count and tonumber(count) * UNITS[unit] or nil
end

-- The list of a node's GPUs as slurmctld is sent it, from --gpus-per-node and --gres together.
local function per_node(asked)
  local words = {}
  for word in (asked["gpus-per-node"] or ""):gmatch("[^,]+") do words[#words + 1] = PREFIX .. word end
  if asked.gres and asked.gres:lower() ~= "none" then words[#words + 1] = asked.gres end
  return #words > 0 and table.concat(words, ",") or nil
end

local function of_gpus(text)
  return text and PREFIX .. text:gsub(",", "," .. PREFIX) or nil
end

local ALONE = { exclusive = 0, allocation = 0 }

-- The job as slurmctld would see it.
local function job_of(asked, user, team)
  local least, most = (asked.nodes or ""):match("^(%d+)%-?(%d*)$")
  local cpus, memory = tonumber(asked["cpus-per-gpu"]), megabytes(asked["mem-per-gpu"])
  return {
    user_name = user, account = asked.account or team, partition = asked.partition, qos = asked.qos,
    req_nodes = asked.nodelist, exc_nodes = asked.exclude, shared = ALONE[asked.exclusive],
    tres_per_node = per_node(asked), tres_per_job = of_gpus(asked.gpus),
    tres_per_task = of_gpus(asked["gpus-per-task"]), tres_per_socket = of_gpus(asked["gpus-per-socket"]),
    cpus_per_tres = cpus and PREFIX .. cpus, mem_per_tres = memory and PREFIX .. ("%.0f"):format(memory),
    min_nodes = tonumber(least), max_nodes = tonumber(most ~= "" and most or least),
    num_tasks = tonumber(asked.ntasks), ntasks_per_node = tonumber(asked["ntasks-per-node"]),
    ntasks_per_tres = tonumber(asked["ntasks-per-gpu"] or asked["ntasks-per-tres"]),
    cpus_per_task = tonumber(asked["cpus-per-task"]), pn_min_cpus = tonumber(asked.mincpus),
    sockets_per_node = tonumber(asked["sockets-per-node"]),
    min_mem_per_node = megabytes(asked.mem), min_mem_per_cpu = megabytes(asked["mem-per-cpu"]),
  }
end

-- The job back into options ----------------------------------------------------------------------------------------

local NUMBERS = { num_tasks = "ntasks", ntasks_per_node = "ntasks-per-node", cpus_per_task = "cpus-per-task",
                  pn_min_cpus = "mincpus" }
local MEMORIES = { min_mem_per_node = "mem", min_mem_per_cpu = "mem-per-cpu" }
local LISTS = { tres_per_job = "gpus", tres_per_task = "gpus-per-task", tres_per_socket = "gpus-per-socket",
                cpus_per_tres = "cpus-per-gpu", mem_per_tres = "mem-per-gpu" }

local function whole(number) return ("%.0f"):format(number) end

local function typed(gpu) return (gpu.kind and gpu.kind .. ":" or "") .. whole(gpu.count) end

-- --gres without the GPUs that --gpus-per-node asks for; each command writes its own `gres:` before a word.
local function gres_of(r, asked)
  local words = {}
  for _, each in ipairs(r.lists.tres_per_node.words) do
    local is_counted = type(each) == "table"
    if not (is_counted and each.name == "gpu" and asked["gpus-per-node"]) then
      local word = is_counted and each.head .. whole(each.count) or each
      words[#words + 1] = word:gsub("^gres[:/]", "")
    end
  end
  return table.concat(words, ",")
end

-- The options that change, each with its new value.
local function options_of(r, asked)
  local found = {}
  for field, name in pairs(NUMBERS) do
    if r.set[field] then found[name] = whole(r.set[field]) end
  end
  for field, name in pairs(MEMORIES) do
    if r.set[field] then found[name] = whole(r.set[field]) .. "M" end
  end
  for field, name in pairs(LISTS) do
    local gpu = r.set[field] and r.lists[field].gpu
    if gpu then found[name] = name:match("per%-gpu$") and whole(gpu.count) or typed(gpu) end
  end
  if found["mem-per-gpu"] then found["mem-per-gpu"] = found["mem-per-gpu"] .. "M" end
  if r.set.tres_per_node then
    if asked["gpus-per-node"] then found["gpus-per-node"] = typed(r.lists.tres_per_node.gpu) end
    if asked.gres then found.gres = gres_of(r, asked) end
  end
  if r.set.min_nodes or r.set.max_nodes then
    local least, most = math.max(1, r.sizes.min_nodes or 1), r.sizes.max_nodes or 0
    found.nodes = most > least and ("%s-%s"):format(whole(least), whole(most)) or whole(least)
  end
  return found
end

-- What is to be done -----------------------------------------------------------------------------------------------

-- A step of a job that runs already, a job of another cluster, and one without a node of its own are not for us.
local function is_new_job_here(options, asked)
  if options.type ~= "srun" and options.type ~= "salloc" then return false end
  if options.type == "srun" and (asked.jobid or os.getenv("SLURM_JOB_ID")) then return false end
  return not (asked.clusters or asked["no-allocate"])
end

-- What fits of a request, and as which options; nil where it is left as it is.
local function fitted(options, asked)
  local policy, request = aistation_policy(), aistation_request()
  if policy.over_request ~= "adjust" or policy.exempt[tonumber(options.uid)] then return nil end
  local user = os.getenv("USER") or os.getenv("LOGNAME") or ""
  local r = request.new(job_of(asked, user, policy.users[user]))
  if r.account == "" or not (r.wants_gpu or r.wants_share) then return nil end
  local groups = aistation_groups(policy, request)
  local names = groups.find(r)
  if names == nil then return nil end
  if r.qos == nil and groups.is_for_development(names) then r.qos = "development" end
  if not aistation_fit(policy, request).fit(r, names) or #r.changes == 0 then return nil end
  return r, options_of(r, asked)
end

local function pre_submit(options)
  local asked = asked_for(options)
  if not is_new_job_here(options, asked) then return end
  local r, changed = fitted(options, asked)
  if r == nil then return end
  for name, value in pairs(changed) do options[name] = value end
  if asked.quiet then return end
  for _, each in ipairs(r.changes) do io.stderr:write(options.type, ": ", each.line, "\n") end
end

function slurm_cli_setup_defaults() return slurm.SUCCESS end

function slurm_cli_pre_submit(options)
  local went_well, problem = pcall(pre_submit, options)
  if not went_well then slurm.log_debug("cli_filter.lua: %s", tostring(problem)) end
  return slurm.SUCCESS
end

function slurm_cli_post_submit() return slurm.SUCCESS end

return slurm.SUCCESS
