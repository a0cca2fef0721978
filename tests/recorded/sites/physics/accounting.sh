sacctmgr -i modify qos normal set MaxTRESPerUser=gres/gpu=4 MaxJobsPerUser=8 MaxTRESPerAccount=gres/gpu=6
sacctmgr -i add account group Description=us Organization=us
sacctmgr -i add account guests Description=them Organization=us GrpTRES=gres/gpu=1 GrpSubmitJobs=3
sacctmgr -i add account a-very-long-name-of-an-account-that-no-team-can-have Description=x Organization=x
sacctmgr -i add user ann,bob account=group
sacctmgr -i add user chen account=guests
